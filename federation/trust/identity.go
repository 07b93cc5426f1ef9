// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// TrustDomain checks the name of a trust domain more strictly than SPIFFE: it
// must also be usable as a URI name constraint, so empty labels and IP
// addresses are refused.
func TrustDomain(name string) (spiffeid.TrustDomain, error) {
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return spiffeid.TrustDomain{}, fmt.Errorf("trust domain %q: %w", name, err)
	}
	if td.Name() != name {
		return spiffeid.TrustDomain{}, fmt.Errorf("trust domain %q: write the bare name, without scheme and path", name)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return spiffeid.TrustDomain{}, fmt.Errorf("trust domain %q: each part between dots must have 1 to 63 characters", name)
		}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return spiffeid.TrustDomain{}, fmt.Errorf("trust domain %q: an IP address can't be one", name)
	}
	return td, nil
}

// MemberTrustDomain is <member>.<domain>, the trust domain of a member whose
// federation has scope Member.
func MemberTrustDomain(member, domain string) (spiffeid.TrustDomain, error) {
	if member == "" || strings.ContainsAny(member, "./:") {
		return spiffeid.TrustDomain{}, fmt.Errorf("member name %q can't be part of a trust domain: use lower-case letters, digits and dashes", member)
	}
	return TrustDomain(member + "." + domain)
}

// WorkloadID is the identity of a service account: spiffe://<td>/ns/<namespace>/sa/<account>.
func WorkloadID(td spiffeid.TrustDomain, namespace, serviceAccount string) (spiffeid.ID, error) {
	if td.IsZero() {
		return spiffeid.ID{}, errors.New("no trust domain")
	}
	id, err := spiffeid.FromSegments(td, "ns", namespace, "sa", serviceAccount)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("identity of service account %q in namespace %q: %w", serviceAccount, namespace, err)
	}
	return id, nil
}

// ServiceAccount takes a workload's identity apart. The error tells what the
// path should look like.
func ServiceAccount(id spiffeid.ID) (namespace, serviceAccount string, err error) {
	parts := strings.Split(id.Path(), "/")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "ns" || parts[3] != "sa" || parts[2] == "" || parts[4] == "" {
		return "", "", fmt.Errorf("identity %q is not of a workload: its path must be /ns/<namespace>/sa/<service account>", id)
	}
	return parts[2], parts[4], nil
}

// The service account that a member's control plane runs as.
const (
	ControlPlaneNamespace      = "istio-system"
	ControlPlaneServiceAccount = "istiod"
)

// ControlPlaneID is the identity with which a member's control plane speaks to
// the hub, and the one its proxies may expect of it.
func ControlPlaneID(td spiffeid.TrustDomain) (spiffeid.ID, error) {
	return WorkloadID(td, ControlPlaneNamespace, ControlPlaneServiceAccount)
}
