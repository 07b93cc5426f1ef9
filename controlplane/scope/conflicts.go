// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// conflicts are the routings that no sidecar follows for one of their hosts,
// where another one is seen too and is older. One that is exported more narrowly
// than another means to go before it (narrowest).
func (r *routings) conflicts() []model.Problem {
	holders := map[string][]*model.Routing{}
	var out []model.Problem
	for _, routing := range r.at[model.Sidecars] {
		for _, h := range routing.Hosts {
			i := slices.IndexFunc(holders[h], func(o *model.Routing) bool {
				return !(o.BySpecificity && routing.BySpecificity) && width(o) == width(routing) && meet(o, routing)
			})
			if i < 0 {
				holders[h] = append(holders[h], routing)
				continue
			}
			o := holders[h][i]
			out = append(out, routing.Problem("spec.hosts", "Conflict", fmt.Sprintf(
				"%s %s/%s has rules for host %s and is older; sidecars that see both follow it alone: merge the two, or delegate", o.Kind, o.Namespace, o.Name, h)))
			break // the other hosts are mended with it
		}
	}
	return out
}

// meet is true when some callers see both.
func meet(a, b *model.Routing) bool {
	if a.ConsumerNamespace != "" && !holds(b, a.ConsumerNamespace) || b.ConsumerNamespace != "" && !holds(a, b.ConsumerNamespace) {
		return false
	}
	return together(a.Visible, b.Visible)
}

// policyConflicts are what policies of one namespace on one host say, and an
// older one says otherwise.
func (x *Index) policyConflicts() []model.Problem {
	var out []model.Problem
	for _, namespace := range slices.Sorted(maps.Keys(x.policies.in)) {
		n := x.policies.in[namespace]
		for _, host := range slices.Sorted(maps.Keys(n.exact)) {
			out = append(out, x.losses(n.exact[host])...)
		}
		for _, w := range n.wildcards {
			out = append(out, x.losses(w.of)...)
		}
	}
	return out
}

// losses of the policies on one host, the oldest first.
func (x *Index) losses(of []*model.DestinationPolicy) []model.Problem {
	var out []model.Problem
	for i, younger := range of {
		told := map[string]bool{}
		for _, older := range of[:i] {
			if !x.merged(older, younger) {
				continue
			}
			for _, field := range lost(older, younger) {
				if !told[field] {
					told[field] = true
					out = append(out, younger.Problem(field, "Conflict", fmt.Sprintf(
						"%s %s/%s says otherwise for the same host, is older and wins; merge the two, or remove one", older.Kind, older.Namespace, older.Name)))
				}
			}
		}
	}
	return out
}

// merged is true when some callers follow both of two policies of one namespace:
// see forCaller.
func (x *Index) merged(a, b *model.DestinationPolicy) bool {
	if (a.Selector == "") != (b.Selector == "") || !together(a.Visible, b.Visible) {
		return false
	}
	return a.Selector == b.Selector || x.selectedByBoth(a.Namespace, a.Selector, b.Selector) != nil
}

// together is true when some namespace sees both of two objects.
func together(a, b model.Visibility) bool {
	switch {
	case a.Limited && b.Limited:
		return slices.ContainsFunc(a.Namespaces, b.In)
	case a.Limited:
		return len(a.Namespaces) > 0
	case b.Limited:
		return len(b.Namespaces) > 0
	}
	return true
}

// selectedByBoth is the first workload of a namespace that two selectors choose;
// nil when there is none.
func (x *Index) selectedByBoth(namespace string, a, b model.Labels) *model.Workload {
	for _, w := range x.workloads(namespace) {
		if a.Select(w.Labels) && b.Select(w.Labels) {
			return w
		}
	}
	return nil
}

// workloads of a namespace.
func (x *Index) workloads(namespace string) []*model.Workload {
	all := x.mesh.Workloads
	from, _ := slices.BinarySearchFunc(all, namespace, func(w *model.Workload, n string) int { return strings.Compare(w.Namespace, n) })
	all = all[from:]
	if end := slices.IndexFunc(all, func(w *model.Workload) bool { return w.Namespace != namespace }); end >= 0 {
		all = all[:end]
	}
	return all
}

// scopeConflicts are the Scopes that an older one keeps from workloads that they
// select too; ScopeOf follows the oldest.
func (x *Index) scopeConflicts() []model.Problem {
	var out []model.Problem
	for _, namespace := range slices.Sorted(maps.Keys(x.scopes.in)) {
		selecting := slices.DeleteFunc(slices.Clone(x.scopes.in[namespace]), func(s *model.Scope) bool { return s.Selector == "" })
		for i, younger := range selecting {
			for _, older := range selecting[:i] {
				both := "the same workloads"
				if older.Selector != younger.Selector {
					w := x.selectedByBoth(namespace, older.Selector, younger.Selector)
					if w == nil {
						continue
					}
					both = fmt.Sprintf("workload %q too", w.Name)
				}
				out = append(out, younger.Problem("spec.workloadSelector", "Conflict", fmt.Sprintf(
					"%s %s/%s is older and selects %s, so it holds there; narrow one of the two", older.Kind, older.Namespace, older.Name, both)))
				break
			}
		}
	}
	return out
}
