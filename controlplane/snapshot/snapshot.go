// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Snapshot answers what each proxy sees of one mesh. It may be used by many
// goroutines.
type Snapshot struct {
	mesh *model.Mesh
	ipv6 bool
	// zones tell callers apart, not only regions.
	zones   bool
	names   *names
	entries []*service
	ports   []port

	common  common
	gateway gateway

	localities *classes[model.Locality, *endpointClass]
	namespaces *classes[string, *routeClass]
	workloads  *workloads

	problems []model.Problem
}

// common is what all sidecars see.
type common struct {
	clusters, listeners, routes, endpoints layer
	names                                  layer
}

// Build a snapshot of a mesh. prev is the one before it, or nil.
func Build(mesh *model.Mesh, prev *Snapshot) *Snapshot {
	if prev == nil || prev.mesh.Settings != mesh.Settings {
		prev = empty(mesh)
	}
	s := &Snapshot{
		mesh:       mesh,
		ipv6:       usesIPv6(mesh),
		zones:      slices.ContainsFunc(mesh.Services, func(st model.ServiceState) bool { return st.Service.PreferClose }),
		names:      prev.names,
		localities: prev.localities.next(),
		namespaces: prev.namespaces.next(),
		workloads:  prev.workloads.next(mesh),
	}
	if s.ipv6 != prev.ipv6 {
		// Every listener that several services share gets another address.
		before := *prev
		before.common, before.ports = common{}, nil
		prev = &before
	}
	if s.names == nil || !sameServices(mesh, prev.mesh) {
		s.names = resolveNames(mesh)
	}
	s.problems = s.names.problems(mesh)
	s.services(prev)
	s.sharedPorts(prev)
	s.shareLayers(prev)
	s.gatewayLayers(prev)
	return s
}

func empty(mesh *model.Mesh) *Snapshot {
	return &Snapshot{
		mesh:       mesh,
		localities: &classes[model.Locality, *endpointClass]{of: map[model.Locality]*lazy[*endpointClass]{}},
		namespaces: &classes[string, *routeClass]{of: map[string]*lazy[*routeClass]{}},
		workloads:  &workloads{of: map[workloadKey]*workload{}},
	}
}

// Workload looks a pod up by namespace and name; nil when there is none.
func (s *Snapshot) Workload(namespace, name string) *model.Workload {
	return s.mesh.Workload(namespace, name)
}

// Problems are what could not be translated.
func (s *Snapshot) Problems() []model.Problem { return slices.Clone(s.problems) }

// View is what a proxy sees. Proxies of one class get the same layers, and
// snapshots that follow each other share the layers that have not changed.
func (s *Snapshot) View(p *model.Proxy) *envoy.View {
	switch {
	case p.EastWest():
		return s.gateway.view()
	case p.Type == model.Sidecar:
		return s.sidecar(p)
	default:
		return &envoy.View{}
	}
}

func (s *Snapshot) sidecar(p *model.Proxy) *envoy.View {
	own := s.workloads.inbound(s.mesh.Settings, p.Workload)
	return &envoy.View{Types: map[string]envoy.Layers{
		envoy.ClusterType:   {Shared: s.common.clusters.layer, Own: own.clusters},
		envoy.EndpointType:  {Shared: s.endpointClass(s.locality(p)).endpoints.layer},
		envoy.ListenerType:  {Shared: s.common.listeners.layer, Own: own.listeners},
		envoy.RouteType:     {Shared: s.common.routes.layer, Own: s.routeClass(p.Namespace).layer.layer},
		envoy.NameTableType: {Shared: s.common.names.layer},
	}}
}

// locality of a proxy, as its node tells, else as it says itself, else the
// member's; cut down to what makes a difference.
func (s *Snapshot) locality(p *model.Proxy) model.Locality {
	at := s.mesh.Settings.Locality
	switch {
	case p.Workload != nil && p.Workload.Locality.Region != "":
		at = p.Workload.Locality
	case p.Locality.Region != "":
		at = p.Locality
	}
	at.SubZone = ""
	if !s.zones {
		at.Zone = ""
	}
	return at
}

func sameServices(a, b *model.Mesh) bool {
	return slices.EqualFunc(a.Services, b.Services, func(a, b model.ServiceState) bool { return a.Service == b.Service })
}

func usesIPv6(mesh *model.Mesh) bool {
	for _, st := range mesh.Services {
		for _, a := range st.Service.Addresses {
			if a.Is6() {
				return true
			}
		}
	}
	return false
}
