// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Ref names a member of a federation.
type Ref struct {
	// Federation is "namespace/name" of the MeshFederation.
	Federation string
	// Member is the MeshMember's name.
	Member string
}

func (r Ref) String() string { return r.Federation + "/" + r.Member }

// Member is a member as the controllers know it: all that the hub believes
// about it. Nothing here is taken from what the member says.
type Member struct {
	// Federation is "namespace/name"; Name is the MeshMember's.
	Federation, Name string
	// UID of the MeshMember: a new one under an old name is another cluster.
	UID         string
	Network     model.NetworkID
	TrustDomain string
	Locality    model.Locality
	// Gateways of its network; empty while no address is known.
	Gateways []model.GatewayAddress
	// Cordoned: traffic is Cordoned or Draining, other members send no new traffic.
	Cordoned bool
	// Intermediates are the serial numbers, in hex, of the intermediate CAs that
	// may speak for this member; none means that it has not enrolled.
	Intermediates []string
	// Exports says which namespaces it may export.
	Exports ExportRules
}

// Ref of the member.
func (m Member) Ref() Ref { return Ref{m.Federation, m.Name} }

// ExportRules are MeshFederation.spec.exports.rules: an export is allowed when
// one of them allows it. No rules allow every namespace but the reserved ones.
type ExportRules []ExportRule

// ExportRule allows some members to export some namespaces.
type ExportRule struct {
	// Members by name; none means all.
	Members []string
	// Namespaces by name; "*" means all but the reserved ones, which must be named.
	Namespaces []string
}

// Allow says whether the member may export services of the namespace.
//
// Reserved namespaces are kube-* and istio-system: only a rule that names one
// opens it, and kube-system and istio-system are never opened, because a
// service in them under an importer's ordinary name would be its own brain.
func (r ExportRules) Allow(member, namespace string) bool {
	if neverExported(namespace) {
		return false
	}
	reserved := strings.HasPrefix(namespace, "kube-")
	if len(r) == 0 {
		return !reserved
	}
	for _, rule := range r {
		if len(rule.Members) > 0 && !slices.Contains(rule.Members, member) {
			continue
		}
		if slices.Contains(rule.Namespaces, namespace) || !reserved && slices.Contains(rule.Namespaces, "*") {
			return true
		}
	}
	return false
}

func neverExported(namespace string) bool {
	return namespace == "kube-system" || namespace == trust.ControlPlaneNamespace
}
