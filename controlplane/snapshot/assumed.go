// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/gateways/northsouth"
)

// assumed are what gateways without pods take from each other: whoever writes one
// is told, whether it is deployed yet or not.
type assumed struct {
	gateways []*model.Gateway
	routings []*model.Routing
	pods     []*model.Workload
	exported []string
	problems []model.Problem
}

func (a assumed) equal(b assumed) bool {
	return slices.Equal(a.gateways, b.gateways) && slices.Equal(a.routings, b.routings) && slices.Equal(a.pods, b.pods) && slices.Equal(a.exported, b.exported)
}

// podless finds them; for the same gateways and routings they are the earlier ones.
func (s *Snapshot) podless(earlier assumed) assumed {
	out := assumed{gateways: s.mesh.Gateways, routings: s.mesh.Routings, pods: s.gatewayPods, exported: s.gateway.names}
	if earlier.equal(out) {
		return earlier
	}
	known := map[model.Labels]bool{}
	for _, g := range s.mesh.Gateways {
		if known[g.Selector] || slices.ContainsFunc(s.gatewayPods, func(w *model.Workload) bool { return selects(g, w) }) {
			continue
		}
		// One of a Gateway of the Gateway API is in its own namespace. The others'
		// are anywhere; the oldest one's namespace stands for that.
		known[g.Selector] = g.SelectorNamespace == ""
		out.problems = append(out.problems, northsouth.Clashes(s.mesh, s.scope, northsouth.Proxy{
			Namespace: g.Namespace, Labels: g.Selector,
		}, s.gateway.names)...)
	}
	return out
}

func selects(g *model.Gateway, w *model.Workload) bool {
	return (g.SelectorNamespace == "" || g.SelectorNamespace == w.Namespace) && g.Selector.Select(w.Labels)
}
