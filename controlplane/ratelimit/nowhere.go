// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"fmt"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// NoWorkloads is the reason of a policy that holds at no pod.
const NoWorkloads = "NoWorkloads"

// At are the pods at which a policy of a mesh holds, in the mesh's order.
func At(m *model.Mesh, l *model.RateLimit) []*model.Workload {
	var out []*model.Workload
	for _, w := range m.Workloads {
		if HoldsAt(m, l, w) {
			out = append(out, w)
		}
	}
	return out
}

// Nowhere is the Problem of a policy that holds at no pod: its conditions have it, and
// whoever analyses objects without a cluster tells it in the same words.
func Nowhere(m *model.Mesh, l *model.RateLimit) model.Problem {
	field, where := "spec", fmt.Sprintf("namespace %q", l.Namespace)
	if m.Settings != nil && l.Namespace == m.Settings.RootNamespace {
		where = "the mesh"
	}
	text := fmt.Sprintf("%s has no pod with a proxy, so nothing is limited; put the policy where its workloads are, or wait for them", where)
	switch {
	case len(l.Target.Refs) > 0:
		field, text = "spec.targetRefs", "no pod with a proxy serves what is named, so nothing is limited; correct the names, or wait for the pods"
	case l.Target.Selector != "":
		field, text = "spec.selector", fmt.Sprintf("no pod of %s has the labels %q, so nothing is limited; correct them, or wait for the pods", where, l.Target.Selector)
	}
	if i := slices.IndexFunc(m.Workloads, func(w *model.Workload) bool { return chosen(m, l, w) }); i >= 0 {
		w := m.Workloads[i]
		text = fmt.Sprintf("pod %s/%s has no proxy, and no other pod is selected, so nothing is limited; have the proxy injected, or correct what is selected", w.Namespace, w.Name)
	}
	return l.Problem(field, NoWorkloads, text)
}
