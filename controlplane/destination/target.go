// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"cmp"
	"fmt"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Target is the port of a service that a cluster calls, and how.
type Target struct {
	Settings *model.Settings
	Service  *model.Service
	// Port is an index into Service.Ports.
	Port int
	// Policy of the caller on the service; nil for none.
	Policy *model.DestinationPolicy
	// Subset of the policy; empty for the whole service.
	Subset string
	// SNI of mesh TLS towards this cluster.
	SNI string
	// Namespace of the caller, where credentials without a namespace are.
	Namespace string
	// Gateway: the proxy is a gateway, which may have credentials. Sidecars may
	// when the policy selects them by label.
	Gateway bool
	// ClientCertificate that a gateway shows to backends when the policy names none; nil for none.
	ClientCertificate *model.CredentialRef
}

// traffic policy that holds for the target; nil when there is none.
func (t Target) traffic() *model.TrafficPolicy {
	if t.Policy == nil {
		return nil
	}
	for i := range t.Policy.Subsets {
		if t.Subset != "" && t.Policy.Subsets[i].Name == t.Subset {
			return &t.Policy.Subsets[i].Policy
		}
	}
	return &t.Policy.Policy
}

func (t Target) port() model.Port { return t.Service.Ports[t.Port] }

// PortPolicy that holds for the target, with the mesh's where it leaves something
// out; nil when there is none.
func (t Target) PortPolicy() *model.PortPolicy {
	var own *model.PortPolicy
	if p := t.traffic(); p != nil {
		own = p.On(t.port().Number)
	}
	s := t.Settings
	if s == nil || s.Connections == nil && s.Outliers == nil {
		return own
	}
	out := model.PortPolicy{Port: t.port().Number}
	if own != nil {
		out = *own
	}
	out.Connections, out.Outliers = cmp.Or(out.Connections, s.Connections), cmp.Or(out.Outliers, s.Outliers)
	return &out
}

// tls of the target's policy; the zero value is automatic.
func (t Target) tls() *model.ClientTLS {
	if p := t.PortPolicy(); p != nil && p.TLS != nil {
		return p.TLS
	}
	return &model.ClientTLS{}
}

// ForeignTLS is true when the policy speaks TLS that is not the mesh's. Requests
// must then not offer the mesh's application protocols (envoy.OfferHTTP).
func (t Target) ForeignTLS() bool {
	m := t.tls().Mode
	return m == model.SimpleTLS || m == model.MutualTLS
}

// Near is true when the policy speaks no mesh TLS. East-west gateways pass
// nothing else on, so endpoints behind them can't be called and are left out.
func (t Target) Near() bool { return t.ForeignTLS() || t.tls().Mode == model.DisableTLS }

// Unreachable says that endpoints behind east-west gateways are left out, since
// the policy speaks no mesh TLS.
func (t Target) Unreachable() model.Problem {
	return t.problem("tls.mode", "OtherNetworksLeftOut",
		"a service has endpoints in other networks, whose gateways pass on nothing but mesh TLS, so these are not called: use mode ISTIO_MUTUAL, or leave the mode out, where they are wanted")
}

// Apart says that the subset leaves out another member's endpoints: its gateway
// passes on the subsets only that rules there define.
func (t Target) Apart(member model.ClusterID) model.Problem {
	return t.Policy.Problem("spec.subsets", "OtherMembersLeftOut", fmt.Sprintf(
		"subset %q of %s has no endpoints of member %s, where no DestinationRule defines a subset of this name with these labels: "+
			"apply this rule in member %s too; if it is there, upgrade that member and the hub", t.Subset, t.Service.Hostname, member, member))
}

// problem of a field of the policy.
func (t Target) problem(field, reason, message string) model.Problem {
	return t.Policy.Problem("spec.trafficPolicy."+field, reason, message)
}
