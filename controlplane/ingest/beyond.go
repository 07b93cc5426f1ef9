// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// mostSubsets that another member may serve of one port.
const mostSubsets = 100

// addSubsets that the member serves of a port. Those of the caller's own network
// have no gateways: their endpoints bring the labels along.
func (c *check) addSubsets(port *draftPort, i int, p model.ExportPort, s *settings) {
	subsets := p.Subsets
	if len(subsets) > mostSubsets {
		c.reject(fmt.Sprintf("ports[%d].subsets", i), Rejected, "%d subsets are more than the %d that are accepted of one port; the others are left out", len(subsets), mostSubsets)
		subsets = subsets[:mostSubsets]
	}
	for j, sub := range subsets {
		field := fmt.Sprintf("ports[%d].subsets[%d]", i, j)
		if slices.ContainsFunc(subsets[:j], func(o model.ExportSubset) bool { return o.Name == sub.Name }) {
			c.reject(field, Rejected, "subset %q is there before and holds", sub.Name)
			continue
		}
		var gateways []model.Endpoint
		if c.member.Network != s.Network {
			if in, all := readyIn(sub.Zones), readyIn(p.Zones); in > all {
				c.reject(field, Rejected, "%d endpoints of subset %q are more than the %d of the whole; it is left out", in, sub.Name, all)
				continue
			}
			gateways = c.throughGateways(field+".zones", sub.Zones)
		}
		port.addBeyond(c.member.Cluster, sub, gateways)
	}
}

// addBeyond adds a member to a subset. A gateway that stands before two members
// carries the weight of both.
func (p *draftPort) addBeyond(member model.ClusterID, sub model.ExportSubset, gateways []model.Endpoint) {
	i := slices.IndexFunc(p.beyond, func(b model.BeyondSubset) bool { return b.Name == sub.Name && b.Labels == sub.Labels })
	if i < 0 {
		i = len(p.beyond)
		p.beyond = append(p.beyond, model.BeyondSubset{Name: sub.Name, Labels: sub.Labels})
	}
	b := &p.beyond[i]
	b.Members = append(b.Members, member)
	for _, g := range gateways {
		at := slices.IndexFunc(b.Endpoints, func(e model.Endpoint) bool { return e.Address == g.Address && e.Port == g.Port })
		if at < 0 {
			b.Endpoints = append(b.Endpoints, g)
			continue
		}
		b.Endpoints[at].Weight += g.Weight
	}
}

func (p *draftPort) sortedBeyond() []model.BeyondSubset {
	slices.SortFunc(p.beyond, func(a, b model.BeyondSubset) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(string(a.Labels), string(b.Labels)))
	})
	for i := range p.beyond {
		slices.Sort(p.beyond[i].Members)
		slices.SortFunc(p.beyond[i].Endpoints, compareEndpoints)
	}
	return p.beyond
}
