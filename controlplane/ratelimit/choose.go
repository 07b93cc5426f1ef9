// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// Choose the policies of a mesh that hold for a workload or gateway, sorted by
// namespace and name: all of them hold, so no order is better, and this one doesn't change with their ages.
func Choose(m *model.Mesh, g policy.Guarded, inbound []model.InboundPort) []*model.RateLimit {
	var out []*model.RateLimit
	for _, l := range m.RateLimits {
		if holds(m.Settings, l, g, inbound) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *model.RateLimit) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return out
}

func holds(s *model.Settings, l *model.RateLimit, g policy.Guarded, inbound []model.InboundPort) bool {
	root, suffix := "", ""
	if s != nil {
		root, suffix = s.RootNamespace, s.DomainSuffix
	}
	return g.Under(root, l.Namespace, l.Target) || l.Namespace == g.Namespace && g.Gateway == "" && len(portsOf(suffix, l, inbound)) > 0
}

// HoldsAt tells whether a policy of a mesh holds at a pod that is in the mesh. Gateways
// between networks read no requests, so it doesn't there.
func HoldsAt(m *model.Mesh, l *model.RateLimit, w *model.Workload) bool {
	return w.Meshed && chosen(m, l, w)
}

// chosen is true for a pod that a policy is for, whether it has a proxy or not.
func chosen(m *model.Mesh, l *model.RateLimit, w *model.Workload) bool {
	if (&model.Proxy{Type: model.Router, Labels: w.Labels}).EastWest() {
		return false
	}
	return holds(m.Settings, l, policy.Guarded{
		Namespace: w.Namespace, Labels: w.Labels, Gateway: w.Labels[policy.LabelGatewayName], Class: w.Labels[policy.LabelGatewayClass],
	}, w.Inbound)
}

// Asked are the clusters of the services that count for policies, sorted. Whoever has
// the filters needs them.
func Asked(limits []*model.RateLimit) []string {
	var out []string
	for _, l := range limits {
		if l.Service != nil {
			out = append(out, envoy.Outbound(l.Service.Port, l.Service.Host))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// OfService is true for a policy for ports of services.
func OfService(l *model.RateLimit) bool {
	return slices.ContainsFunc(l.Target.Refs, func(r model.TargetRef) bool { return r.Kind == "Service" })
}

// HostOf a service that a policy is for.
func HostOf(s *model.Settings, l *model.RateLimit, ref model.TargetRef) model.Hostname {
	suffix := ""
	if s != nil {
		suffix = s.DomainSuffix
	}
	return hostOf(suffix, l, ref)
}

func hostOf(suffix string, l *model.RateLimit, ref model.TargetRef) model.Hostname {
	return model.Hostname(ref.Name + "." + l.Namespace + ".svc." + suffix)
}

// portsOf a workload that belong to services which a policy is for.
func portsOf(suffix string, l *model.RateLimit, inbound []model.InboundPort) []uint16 {
	var out []uint16
	for _, ref := range l.Target.Refs {
		if ref.Kind != "Service" {
			continue
		}
		host := hostOf(suffix, l, ref)
		for _, p := range inbound {
			if p.Service == host {
				out = append(out, p.Port)
			}
		}
	}
	return out
}
