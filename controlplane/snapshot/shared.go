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

// port is a port that HTTP services share.
type port struct {
	number   uint16
	listener *envoy.Resource
	// hosts of the services on this port, in the services' order.
	hosts []map[string]*part
	// routes for callers of namespaces without a name of their own here.
	routes *envoy.Resource
	// namespaces that have one.
	namespaces map[string]bool
}

// sharedPorts gathers the virtual hosts of each shared port.
func (s *Snapshot) sharedPorts(prev *Snapshot) {
	byNumber := make(map[uint16]*port)
	for _, e := range s.entries {
		for i, hosts := range e.hosts {
			if len(hosts) == 0 {
				continue
			}
			number := e.in.svc.Ports[i].Number
			p := byNumber[number]
			if p == nil {
				p = &port{number: number}
				byNumber[number] = p
			}
			p.hosts = append(p.hosts, hosts)
		}
	}
	before := make(map[uint16]port, len(prev.ports))
	for _, p := range prev.ports {
		before[p.number] = p
	}
	for number, p := range byNumber {
		s.ports = append(s.ports, s.port(*p, before[number]))
	}
	slices.SortFunc(s.ports, func(a, b port) int { return int(a.number) - int(b.number) })
}

func (s *Snapshot) port(p, before port) port {
	if before.listener != nil && slices.EqualFunc(p.hosts, before.hosts, sameHosts) {
		return before
	}
	p.namespaces = map[string]bool{}
	for _, hosts := range p.hosts {
		for ns := range hosts {
			p.namespaces[ns] = true
		}
	}
	p.listener = before.listener
	if p.listener == nil {
		r, err := sidecar.PortListener(s.mesh.Settings, p.number, s.ipv6)
		s.reportShared(err)
		p.listener = r
	}
	r, err := sidecar.PortRoutes(s.mesh.Settings, p.number, p.seenFrom(""))
	s.reportShared(err)
	p.routes = keep(before.routes, r)
	return p
}

// seenFrom are the virtual hosts as callers of a namespace see them.
func (p port) seenFrom(namespace string) [][]byte {
	out := make([][]byte, 0, len(p.hosts))
	for _, hosts := range p.hosts {
		h := hosts[namespace]
		if h == nil {
			h = hosts[""]
		}
		if h != nil {
			out = append(out, h.encoded)
		}
	}
	return out
}

// sameHosts compares by the generic part: all parts of one service port are
// made together.
func sameHosts(a, b map[string]*part) bool { return a[""] == b[""] }

// shareLayers makes the layers that all sidecars see.
func (s *Snapshot) shareLayers(prev *Snapshot) {
	settings := s.mesh.Settings
	static := func(name string, of layer, make func() (*envoy.Resource, error)) *envoy.Resource {
		if r := of.layer.Get(name); r != nil {
			return r
		}
		r, err := make()
		s.reportShared(err)
		return r
	}
	clusters := []*envoy.Resource{
		static(envoy.PassthroughCluster, prev.common.clusters, func() (*envoy.Resource, error) { return sidecar.Passthrough(settings) }),
		static(envoy.BlackHoleCluster, prev.common.clusters, func() (*envoy.Resource, error) { return sidecar.BlackHole(settings) }),
	}
	listeners := []*envoy.Resource{
		static(envoy.VirtualOutbound, prev.common.listeners, func() (*envoy.Resource, error) { return sidecar.VirtualOutbound(settings, s.ipv6) }),
	}
	for _, p := range s.ports {
		listeners = append(listeners, p.listener)
	}
	var routes, endpoints []*envoy.Resource
	for _, e := range s.entries {
		clusters = append(clusters, e.clusters...)
		listeners = append(listeners, e.listeners...)
		routes = append(routes, e.routes...)
		for _, p := range e.ports {
			listeners = append(listeners, p.listeners...)
			if p.anywhere != nil {
				endpoints = append(endpoints, p.anywhere)
			}
		}
	}
	for _, n := range s.namedEndpoints() {
		name := envoy.Named(n.host, n.port)
		clusters = append(clusters, static(name, prev.common.clusters, func() (*envoy.Resource, error) { return sidecar.NamedCluster(settings, n.host, n.port) }))
		listeners = append(listeners, static(name, prev.common.listeners, func() (*envoy.Resource, error) { return sidecar.NamedListener(n.host, n.port) }))
	}
	s.common = common{
		clusters:  s.layer(prev.common.clusters, clusters),
		listeners: s.layer(prev.common.listeners, listeners),
		routes:    s.layer(prev.common.routes, routes),
		endpoints: s.layer(prev.common.endpoints, endpoints),
	}
	s.common.names = prev.common.names
	if s.common.names.layer == nil || !sameServices(s.mesh, prev.mesh) || !slices.Equal(tableEndpoints(s.mesh), tableEndpoints(prev.mesh)) {
		table, err := nameTable(s.mesh)
		s.reportShared(err)
		var before *envoy.Resource
		if names := prev.common.names.of; len(names) > 0 {
			before = names[0]
		}
		s.common.names = s.layer(prev.common.names, []*envoy.Resource{keep(before, table)})
	}
}

// namedEndpoints of all services, sorted, each once.
func (s *Snapshot) namedEndpoints() []named {
	var out []named
	for _, e := range s.entries {
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

// layer over the resources that could be made.
func (s *Snapshot) layer(earlier layer, resources []*envoy.Resource) layer {
	return earlier.over(slices.DeleteFunc(resources, func(r *envoy.Resource) bool { return r == nil }))
}

func (s *Snapshot) reportShared(err error) {
	if err != nil {
		s.problems = append(s.problems, model.Problem{Kind: "Service", Reason: "NotTranslated", Message: err.Error()})
	}
}
