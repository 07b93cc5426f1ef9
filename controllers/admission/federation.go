// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/meshfederation"
	"github.com/isthmesh/isthmesh/controllers/meshmember"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Federation judges a MeshFederation, as it shall be and as it was: nil for a
// new one. What may never change (meshID, trust.domain, trust.scope) is guarded
// by the definition's own rules, which hold without a hub too.
func Federation(now, was *v1alpha1.MeshFederation, world World) Verdict {
	var before, changes []finding
	if was != nil {
		before, changes = federationFindings(was, world), federationChanges(now, was, world)
	}
	return verdict(fmt.Sprintf("MeshFederation %s/%s", now.Namespace, now.Name), append(federationFindings(now, world), changes...), before)
}

func federationFindings(f *v1alpha1.MeshFederation, world World) []finding {
	out := chartFindings(f)
	if _, err := trust.TrustDomain(f.Spec.Trust.Domain); err != nil {
		out = append(out, fatal("spec.trust.domain", "%v", err))
	}
	if _, err := metav1.LabelSelectorAsSelector(&f.Spec.MemberSelector); err != nil {
		out = append(out, fatal("spec.memberSelector", "it can't be read, so it would select no member: %v", err))
	}
	for i := range world.Federations {
		other := &world.Federations[i]
		if other.Name != f.Name && other.DeletionTimestamp == nil && other.Spec.Trust.Domain == f.Spec.Trust.Domain {
			out = append(out, warning("spec.trust.domain", "MeshFederation %q has trust domain %q too, so that the names of workloads don't tell the two apart: give each federation a domain of its own", other.Name, f.Spec.Trust.Domain))
		}
	}
	for i, rule := range f.Spec.Exports.Rules {
		for _, namespace := range rule.Namespaces {
			if namespace == "kube-system" || namespace == v1alpha1.SystemNamespace {
				out = append(out, warning(fmt.Sprintf("spec.exports.rules[%d].namespaces", i), "namespace %q is never exported: take it out", namespace))
			}
		}
	}
	return append(out, selectionFindings(f, world)...)
}

// chartFindings tell what the charts make of the values.
func chartFindings(f *v1alpha1.MeshFederation) []finding {
	var out []finding
	for _, p := range meshmember.CheckCharts(f) {
		message := strings.TrimPrefix(p.Message, fmt.Sprintf("%s of MeshFederation %q: ", p.Field, f.Name))
		out = append(out, finding{p.Field, message, p.ByValues})
	}
	for _, field := range meshmember.Overruled(f) {
		out = append(out, warning(field, "the hub sets this value for each member, and the one given here is never used: take it out"))
	}
	return out
}

// selectionFindings tell of members that other federations select too.
func selectionFindings(f *v1alpha1.MeshFederation, world World) []finding {
	federations := slices.DeleteFunc(slices.Clone(world.Federations), func(o v1alpha1.MeshFederation) bool { return o.Name == f.Name })
	federations = append(federations, *f)
	var out []finding
	var contested, elsewhere, names []string
	for i := range world.Members {
		m := &world.Members[i]
		if m.DeletionTimestamp != nil || meshmember.Selects(f, m) != nil {
			continue
		}
		if _, err := meshmember.TrustDomain(m.Name, f.Spec.Trust); err != nil {
			out = append(out, fatal("spec.trust.domain", "MeshMember %q, which is selected, could have no identities: %v", m.Name, err))
		}
		switch into, problem := meshmember.FederationOf(m, federations); {
		case problem != nil:
			contested = append(contested, m.Name)
			names = append(names, selecting(m, federations, f.Name)...)
		case into.Name != f.Name:
			elsewhere = append(elsewhere, m.Name)
		}
	}
	if len(contested) > 0 {
		slices.Sort(names)
		out = append(out, fatal("spec.memberSelector", "it selects MeshMembers that are selected by MeshFederation %s too, and would be in none of them: %s; change the selectors or the members' labels so that one selects each",
			list(slices.Compact(names)), list(contested)))
	}
	if len(elsewhere) > 0 {
		out = append(out, warning("spec.memberSelector", "it selects MeshMembers that are in another federation, and stay there while that one selects them: %s", list(elsewhere)))
	}
	return out
}

// selecting names the federations but one that select a member.
func selecting(m *v1alpha1.MeshMember, federations []v1alpha1.MeshFederation, but string) []string {
	var out []string
	for i := range federations {
		f := &federations[i]
		if f.Name != but && f.DeletionTimestamp == nil && meshmember.Selects(f, m) == nil {
			out = append(out, f.Name)
		}
	}
	return out
}

// federationChanges tell what follows from a change.
func federationChanges(now, was *v1alpha1.MeshFederation, world World) []finding {
	var out []finding
	from, to := meshfederation.SecretName(was), meshfederation.SecretName(now)
	if from != to && was.Status.Trust.RootFingerprint != "" {
		out = append(out, warning("spec.trust.root", "the root is read from Secret %q now and no longer from %q: unless it is the same root, members enrol again only after annotation %s=%s is set",
			to, from, v1alpha1.ReplaceRootAnnotation, was.Status.Trust.RootFingerprint))
	}
	var left []string
	for i := range world.Members {
		m := &world.Members[i]
		if m.DeletionTimestamp == nil && m.Status.Federation == now.Name && meshmember.Selects(was, m) == nil && meshmember.Selects(now, m) != nil {
			left = append(left, m.Name)
		}
	}
	if len(left) > 0 {
		out = append(out, warning("spec.memberSelector", "it no longer selects MeshMembers that are in the federation: %s; what is installed in their clusters stays until they are deleted", list(left)))
	}
	return out
}
