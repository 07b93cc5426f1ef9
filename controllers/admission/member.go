// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/meshmember"
)

// Member judges a MeshMember, as it shall be and as it was: nil for a new one.
// Kubeconfig is what is wrong with its Secret now, empty for nothing. That only
// warns: the Secret may be applied after it, or be replaced.
func Member(now, was *v1alpha1.MeshMember, kubeconfig string, world World) Verdict {
	found := memberFindings(now, world)
	if kubeconfig != "" {
		found = append(found, warning(source(now), "%s", kubeconfig))
	}
	var before []finding
	if was != nil {
		before = memberFindings(was, world)
		found = append(found, memberChanges(now, was, world)...)
	}
	return verdict(fmt.Sprintf("MeshMember %s/%s", now.Namespace, now.Name), found, before)
}

func memberFindings(m *v1alpha1.MeshMember, world World) []finding {
	out := addressFindings(m)
	federation, problem := meshmember.FederationOf(m, world.Federations)
	switch {
	case problem != nil && problem.Reason == v1alpha1.ReasonFederationConflict:
		out = append(out, fatal("metadata.labels", "%s", problem.Message))
	case problem != nil: // the federation may be applied later
		out = append(out, warning("metadata.labels", "%s", problem.Message))
	default:
		if _, err := meshmember.TrustDomain(m.Name, federation.Spec.Trust); err != nil {
			out = append(out, fatal("metadata.name", "in MeshFederation %q it could have no identities: %v", federation.Name, err))
		}
		if others := selecting(m, world.Federations, federation.Name); len(others) > 0 {
			out = append(out, warning("metadata.labels", "MeshFederation %s selects the member too, which stays in %q: change one of their selectors", list(others), federation.Name))
		}
	}
	for i := range world.Members {
		if other := &world.Members[i]; other.Name != m.Name && other.DeletionTimestamp == nil {
			out = append(out, twinFindings(m, other, federation, world)...)
		}
	}
	return out
}

// twinFindings tell what two members must not both say.
func twinFindings(m, other *v1alpha1.MeshMember, federation *v1alpha1.MeshFederation, world World) []finding {
	var out []finding
	if secret := meshmember.SecretName(m); secret != "" && secret == meshmember.SecretName(other) {
		out = append(out, fatal(source(m), "MeshMember %q has the kubeconfig of Secret %q already, and one cluster can't be two members: delete that one first, or name the Secret of another cluster", other.Name, secret))
	}
	if federation == nil || len(m.Spec.Gateway.Addresses) == 0 {
		return out
	}
	// Only members of one federation call each other's gateways; other
	// federations may have the same private addresses.
	if its, _ := meshmember.FederationOf(other, world.Federations); its == nil || its.Name != federation.Name {
		return out
	}
	if address := shared(reachedAt(m, federation), reachedAt(other, federation)); address != "" {
		out = append(out, fatal("spec.gateway.addresses", "%s is where MeshMember %q is reached already, and what is sent to one would come to the other: give each member's gateway an address or a port of its own", address, other.Name))
	}
	return out
}

// source is the field that says where the kubeconfig is.
func source(m *v1alpha1.MeshMember) string {
	if m.Spec.ClusterRef != nil {
		return "spec.clusterRef"
	}
	return "spec.kubeconfigSecretRef"
}

// memberChanges tell what follows from a change.
func memberChanges(now, was *v1alpha1.MeshMember, world World) []finding {
	var out []finding
	from, to := meshmember.SecretName(was), meshmember.SecretName(now)
	if from != to && was.Status.ClusterUID != "" {
		out = append(out, warning(source(now), "the kubeconfig is read from Secret %q now and no longer from %q: if it is of another cluster, what is installed in the former one stays there; `isthmesh uninstall` in it cleans it up", to, from))
	}
	before := was.Status.Federation
	if after, _ := meshmember.FederationOf(now, world.Federations); after != nil && before != "" && after.Name != before {
		out = append(out, warning("metadata.labels", "the member moves from MeshFederation %q to %q, and all its workloads get new identities", before, after.Name))
	}
	return out
}
