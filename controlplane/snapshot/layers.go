// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// layersOf a class, but for endpoints. held are the addresses that its Scope's own
// listeners have.
func (s *Snapshot) layersOf(c, earlier *class, held map[string]string) {
	settings := s.mesh.Settings
	static := func(name string, of func(*class) layer, make func() (*envoy.Resource, error)) *envoy.Resource {
		for _, known := range []*class{earlier, s.common} {
			if r := of(known).layer.Get(name); r != nil && (known.settings == c.settings || name != envoy.VirtualOutbound) {
				return r
			}
		}
		r, err := make()
		s.reportShared(err)
		return r
	}
	clustersOf := func(c *class) layer { return c.clusters }
	listenersOf := func(c *class) layer { return c.listeners }
	clusters := []*envoy.Resource{
		static(envoy.PassthroughCluster, clustersOf, func() (*envoy.Resource, error) { return sidecar.Passthrough(settings) }),
		static(envoy.BlackHoleCluster, clustersOf, func() (*envoy.Resource, error) { return sidecar.BlackHole(settings) }),
	}
	if settings.OutboundByName {
		clusters = append(clusters, static(envoy.ByNameCluster, clustersOf, func() (*envoy.Resource, error) {
			r, _, err := sidecar.ByName(settings) // what is wrong with it was told of MeshConfig
			return r, err
		}))
	}
	listeners := []*envoy.Resource{
		static(envoy.VirtualOutbound, listenersOf, func() (*envoy.Resource, error) { return sidecar.VirtualOutbound(c.settings, s.ipv6, nil) }),
	}
	if c.settings.OutboundByName {
		r, err := sidecar.VirtualOutbound(c.settings, s.ipv6, sidecar.BytePorts(c.services))
		s.reportShared(err)
		listeners[0] = keep(s.common.listeners.layer.Get(envoy.VirtualOutbound), keep(earlier.listeners.layer.Get(envoy.VirtualOutbound), r))
	}
	routes := slices.Clone(c.boundRoutes)
	var captured []*envoy.Resource
	for _, p := range c.ports {
		captured = append(captured, p.listener)
	}
	for _, e := range c.byRight() {
		captured = append(captured, e.listeners...)
	}
	for _, e := range c.entries {
		clusters = append(clusters, e.clusters...)
		routes = append(routes, e.routes...)
		for _, p := range e.ports {
			captured = append(captured, p.listeners...)
		}
	}
	listeners = append(listeners, c.bound...)
	listeners = append(listeners, c.beside(held, captured)...)
	for _, n := range c.namedEndpoints() {
		name := envoy.Named(n.host, n.port)
		clusters = append(clusters, static(name, clustersOf, func() (*envoy.Resource, error) { return sidecar.NamedCluster(settings, n.host, n.port) }))
		listeners = append(listeners, static(name, listenersOf, func() (*envoy.Resource, error) { return sidecar.NamedListener(n.host, n.port) }))
	}
	c.clusters = s.layer(s.common.clusters, earlier.clusters, clusters)
	c.listeners = s.layer(s.common.listeners, earlier.listeners, listeners)
	c.routes = s.layer(s.common.routes, earlier.routes, routes)
}

// byRight are a class's entries, those last that must leave an address to others:
// of two listeners of one name the first stands.
func (c *class) byRight() []*service {
	if len(c.names.without) == 0 {
		return c.entries
	}
	out := slices.Clone(c.entries)
	slices.SortStableFunc(out, func(a, b *service) int {
		lost, more := len(c.names.without[a.in.svc]) > 0, len(c.names.without[b.in.svc]) > 0
		switch {
		case lost && more:
			return before(a.in.svc, b.in.svc)
		case lost:
			return 1
		case more:
			return -1
		}
		return 0
	})
	return out
}

// endpointLayer of a class: endpoints that callers everywhere see alike.
func (s *Snapshot) endpointLayer(c, earlier *class) {
	var out []*envoy.Resource
	for _, e := range c.entries {
		for _, p := range e.ports {
			out = append(out, p.anywhere...)
		}
	}
	c.endpoints = s.layer(s.common.endpoints, earlier.endpoints, out)
}

// tableOf the names that a class's callers see.
func (s *Snapshot) tableOf(c, earlier *class) {
	if earlier.basis == c.basis && slices.Equal(tableEndpoints(c.services), tableEndpoints(earlier.services)) {
		c.table = earlier.table
		return
	}
	table, err := nameTable(c.services)
	s.reportShared(err)
	for _, known := range []layer{earlier.table, s.common.table} {
		if len(known.of) > 0 {
			table = keep(known.of[0], table)
		}
	}
	c.table = s.layer(s.common.table, earlier.table, []*envoy.Resource{table})
}

// namedEndpoints of all services, sorted, each once.
func (c *class) namedEndpoints() []named {
	var out []named
	for _, e := range c.entries {
		if e.in.svc.Kind == model.ExternalName {
			continue
		}
		for _, p := range e.ports {
			out = append(out, p.named...)
		}
	}
	slices.SortFunc(out, func(a, b named) int {
		return cmp.Or(strings.Compare(a.host, b.host), cmp.Compare(a.port, b.port))
	})
	return slices.Compact(out)
}

// layer over the resources that could be made; everybody's when it is the same.
func (s *Snapshot) layer(common, earlier layer, resources []*envoy.Resource) layer {
	resources = slices.DeleteFunc(resources, func(r *envoy.Resource) bool { return r == nil })
	if common.layer != nil && slices.Equal(common.of, resources) {
		return common
	}
	return earlier.over(resources)
}

func (s *Snapshot) reportShared(err error) {
	if err != nil {
		s.problems = append(s.problems, sharedProblem(err))
	}
}
