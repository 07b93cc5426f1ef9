// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"k8s.io/apimachinery/pkg/util/validation"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
)

// CheckMember checks what the hub says of another member.
func CheckMember(m *federationv1.Member) *Fault {
	if e := validation.IsDNS1123Label(m.GetName()); len(e) > 0 {
		return fault(ReasonMalformed, "member name %.80q: %s", m.GetName(), e[0])
	}
	if e := validation.IsValidLabelValue(m.GetNetwork()); len(e) > 0 {
		return fault(ReasonMalformed, "network %.80q: %s", m.GetNetwork(), e[0])
	}
	if _, err := spiffeid.TrustDomainFromString(m.GetTrustDomain()); err != nil {
		return fault(ReasonMalformed, "trust domain %.80q: %v", m.GetTrustDomain(), err)
	}
	if f := checkLocality(m.GetLocality()); f != nil {
		return f
	}
	if n := len(m.GetGateways()); n > MaxGateways {
		return fault(ReasonTooLarge, "%d gateways; at most %d are allowed", n, MaxGateways)
	}
	for _, g := range m.GetGateways() {
		if f := CheckGatewayAddress(g.GetAddress()); f != nil {
			return f
		}
		if g.GetPort() < 1 || g.GetPort() > 65535 {
			return fault(ReasonMalformed, "port %d of gateway %s is not between 1 and 65535", g.GetPort(), g.GetAddress())
		}
	}
	if len(m.GetHash()) > maxHash || len(m.GetEpoch()) > maxHash {
		return fault(ReasonMalformed, "hash or epoch longer than %d bytes", maxHash)
	}
	return nil
}
