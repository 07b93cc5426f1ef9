// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// chosen endpoints of a target. Those behind other networks' gateways are in a
// subset as far as their members serve it, and only when mesh TLS is spoken,
// which is all that gateways pass on.
func chosen(t destination.Target, set *model.EndpointSet) *model.EndpointSet {
	wanted := labelsOf(t)
	if wanted == "" && !(t.Near() && behindGateways(set)) {
		return set
	}
	out := &model.EndpointSet{}
	for i := range set.Endpoints {
		if e := &set.Endpoints[i]; e.In(wanted) && !(e.Gateway && t.Near()) {
			out.Endpoints = append(out.Endpoints, *e)
		}
	}
	if b := beyond(t, wanted, set); b != nil && !t.Near() {
		out.Endpoints = append(out.Endpoints, b.Endpoints...)
	}
	return out
}

// labelsOf the endpoints of a target; empty for all.
func labelsOf(t destination.Target) model.Labels {
	if t.Subset == "" {
		return ""
	}
	i := slices.IndexFunc(t.Policy.Subsets, func(s model.Subset) bool { return s.Name == t.Subset })
	return t.Policy.Subsets[i].Labels
}

// beyond is the target's subset as other members serve it; nil when none does.
func beyond(t destination.Target, wanted model.Labels, set *model.EndpointSet) *model.BeyondSubset {
	i := slices.IndexFunc(set.Beyond, func(b model.BeyondSubset) bool { return b.Name == t.Subset && b.Labels == wanted })
	if i < 0 {
		return nil
	}
	return &set.Beyond[i]
}

func behindGateways(set *model.EndpointSet) bool {
	return slices.ContainsFunc(set.Endpoints, func(e model.Endpoint) bool { return e.Gateway })
}

// LeftOut tells which endpoints of other members the policy's clusters of a port
// do without, though they could do with them: of members that don't define a
// subset, and, where no mesh TLS is spoken, of all other networks.
func (c Call) LeftOut(port int, set *model.EndpointSet) []model.Problem {
	if c.Policy == nil || c.Service.Resolution != model.Discovered {
		return nil
	}
	var out []model.Problem
	unreachable := false
	for _, t := range c.targets(port) {
		wanted := labelsOf(t)
		if t.Near() {
			if !unreachable && slices.ContainsFunc(set.Endpoints, func(e model.Endpoint) bool { return e.Gateway && wanted.May(e.Cluster, e.Network) }) {
				unreachable = true
				out = append(out, t.Unreachable())
			}
		}
		if wanted.ByMember() {
			continue
		}
		var told model.ClusterID
		for i := range set.Endpoints {
			e := &set.Endpoints[i]
			if e.Cluster == c.Settings.Cluster || e.Cluster == told || e.Gateway && t.Near() || !wanted.May(e.Cluster, e.Network) || serves(e, t, wanted, set) {
				continue
			}
			told = e.Cluster // the set is sorted by it
			out = append(out, t.Apart(told))
		}
	}
	return out
}

// serves is true when the member of an endpoint serves the target's subset. On
// the caller's own network labels alone tell who is in it, whatever its name.
func serves(e *model.Endpoint, t destination.Target, wanted model.Labels, set *model.EndpointSet) bool {
	if slices.ContainsFunc(set.Beyond, func(b model.BeyondSubset) bool {
		return b.Labels == wanted && (b.Name == t.Subset || !e.Gateway) && slices.Contains(b.Members, e.Cluster)
	}) {
		return true
	}
	return !e.Gateway && slices.ContainsFunc(set.Endpoints, func(o model.Endpoint) bool { return o.Cluster == e.Cluster && o.In(wanted) })
}
