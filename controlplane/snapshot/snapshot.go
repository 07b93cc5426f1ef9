// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"slices"
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// Snapshot answers what each proxy sees of one mesh. It may be used by many
// goroutines.
type Snapshot struct {
	mesh  *model.Mesh
	scope *scope.Index
	ipv6  bool
	// near is how much of a caller's locality makes a difference.
	near nearness

	// common is what sidecars see that no configuration names.
	common  *class
	index   commonIndex
	others  translations
	classes *classes[scope.Class, *class]
	gateway gateway

	localities *classes[place, *endpointClass]
	namespaces *classes[home, *routeClass]
	workloads  *workloads
	fronts     *classes[frontKey, *front]
	// gatewayPods are pods of north-south gateways; unmanned are what gateways
	// without any take from each other.
	gatewayPods []*model.Workload
	unmanned    *lazy[assumed]
	// present are the callers that there should be.
	present *lazy[callers]
	// idle is what policies and routings say in vain.
	idle *lazy[idle]
	// limitFaults are what rate limits lean on in vain.
	limitFaults *lazy[limitFaults]
	patches     *classes[patchSet, *patched]
	plugins     *classes[pluginSet, *plugged]
	// telemetries are what proxies log.
	telemetries *classes[logSet, *logged]
	// aside are objects that some proxies go without, nil for none; variants are
	// the meshes that those see.
	aside    *Aside
	variants *variants
	guards   guards
	// selves are the listeners of classes without those at pods' own addresses (withoutSelf).
	selves sync.Map

	// grpc are the ports that GRPCRoutes send to.
	grpc map[grpcPort]bool
	// addressed are the namespaces whose services are told by their addresses, and by whom.
	addressed map[string]map[string]bool

	// problems of what classes have in common.
	problems []model.Problem
}

// commonIndex finds everybody's entry of a service.
type commonIndex struct {
	once sync.Once
	of   map[*model.Service]int
}

// translations that classes made for themselves.
type translations struct {
	mu sync.Mutex
	of map[*model.Service][]*service
}

// nearness is how much of a caller's locality makes a difference.
type nearness uint8

const (
	byRegion nearness = iota
	byZone
	bySubZone
)

// Build a snapshot of a mesh. prev is the one before it, or nil.
func Build(mesh *model.Mesh, prev *Snapshot) *Snapshot { return BuildWithout(mesh, nil, prev) }

// BuildWithout builds a snapshot in which each proxy is spared what it refuses:
// aside is the mesh's, by Aside.Next.
func BuildWithout(mesh *model.Mesh, aside *Aside, prev *Snapshot) *Snapshot {
	s := build(mesh, aside, prev)
	if prev != nil {
		s.variants = prev.variants.next()
	}
	return s
}

func build(mesh *model.Mesh, aside *Aside, prev *Snapshot) *Snapshot {
	if prev == nil || prev.mesh.Settings != mesh.Settings {
		prev = empty(mesh)
	}
	scopes := scope.Build(mesh, prev.scope)
	by := guardsOf(mesh, prev.mesh, prev.guards)
	s := &Snapshot{
		mesh:        mesh,
		guards:      by,
		scope:       scopes,
		ipv6:        usesIPv6(mesh),
		near:        nearnessOf(mesh),
		others:      translations{of: map[*model.Service][]*service{}},
		classes:     prev.classes.next(),
		localities:  prev.localities.next(),
		namespaces:  prev.namespaces.next(),
		workloads:   prev.workloads.next(mesh, scopes, by),
		fronts:      prev.fronts.next(),
		patches:     prev.patches.next(),
		plugins:     prev.plugins.next(),
		telemetries: prev.telemetries.next(),
		unmanned:    cmp.Or(prev.unmanned.next(), new(lazy[assumed])),
		present:     cmp.Or(prev.present.next(), new(lazy[callers])),
		idle:        cmp.Or(prev.idle.next(), new(lazy[idle])),
		limitFaults: cmp.Or(prev.limitFaults.next(), new(lazy[limitFaults])),
		aside:       aside,
		variants:    &variants{},
		grpc:        grpcPorts(mesh.Routings),
		addressed:   addressed(mesh),
	}
	s.gatewayPods = s.podsOfGateways(prev)
	s.class(scope.Class{}, scope.Caller{}, prev.common)
	s.gatewayLayers(prev)
	return s
}

func empty(mesh *model.Mesh) *Snapshot {
	return &Snapshot{
		mesh:        mesh,
		common:      &class{},
		unmanned:    new(lazy[assumed]),
		present:     new(lazy[callers]),
		idle:        new(lazy[idle]),
		limitFaults: new(lazy[limitFaults]),
		classes:     &classes[scope.Class, *class]{of: map[scope.Class]*lazy[*class]{}},
		localities:  &classes[place, *endpointClass]{of: map[place]*lazy[*endpointClass]{}},
		namespaces:  &classes[home, *routeClass]{of: map[home]*lazy[*routeClass]{}},
		fronts:      &classes[frontKey, *front]{of: map[frontKey]*lazy[*front]{}},
		patches:     &classes[patchSet, *patched]{of: map[patchSet]*lazy[*patched]{}},
		plugins:     &classes[pluginSet, *plugged]{of: map[pluginSet]*lazy[*plugged]{}},
		telemetries: &classes[logSet, *logged]{of: map[logSet]*lazy[*logged]{}},
		workloads:   &workloads{of: map[workloadKey]*workload{}, strangers: map[workloadKey]bool{}, crews: crews{}},
	}
}

func nearnessOf(mesh *model.Mesh) nearness {
	if mesh.Settings.LocalityBalancing != nil || mesh.Settings.Outliers != nil {
		return bySubZone
	}
	for _, p := range mesh.Policies {
		if scope.AsksLocality(p) {
			return bySubZone
		}
	}
	if slices.ContainsFunc(mesh.Services, func(st model.ServiceState) bool { return st.Service.PreferClose }) {
		return byZone
	}
	return byRegion
}

// Workload looks a pod up by namespace and name; nil when there is none.
func (s *Snapshot) Workload(namespace, name string) *model.Workload {
	return s.mesh.Workload(namespace, name)
}

// Problems are what could not be translated, for everybody, for gateways and for
// the classes that proxies have asked for so far; each once.
func (s *Snapshot) Problems() []model.Problem {
	for _, w := range s.gatewayPods {
		s.northSouth(&model.Proxy{
			Type: model.Router, Name: w.Name, Namespace: w.Namespace, Labels: w.Labels, Addresses: w.Addresses, Workload: w,
		})
	}
	out := slices.Concat(s.scope.Problems(), s.ingressProblems(), s.common.names.problems(s.common.services), s.problems, s.missed(s.common.problems()))
	for _, c := range s.classes.made() {
		if c.names != s.common.names {
			out = append(out, c.names.problems(c.services)...)
		}
		out = append(out, c.problems()...)
	}
	for _, f := range s.fronts.made() {
		out = append(out, f.out.Problems...)
	}
	out = append(out, s.unmanned.get(s.podless).problems...)
	out = append(out, s.idle.get(s.findIdle).problems...)
	out = append(out, s.limitFaults.get(s.findLimitFaults).problems...)
	for _, p := range s.patches.made() {
		out = append(out, p.told()...)
	}
	for _, p := range s.plugins.made() {
		out = append(out, p.told()...)
	}
	for _, t := range s.telemetries.made() {
		out = append(out, t.told()...)
	}
	out = append(out, s.sparedProblems()...)
	seen := make(map[model.Problem]bool, len(out))
	return slices.DeleteFunc(out, func(p model.Problem) bool {
		again := seen[p]
		seen[p] = true
		return again
	})
}

// problems of a class.
func (c *class) problems() []model.Problem {
	out := slices.Clone(c.scopeProblems)
	for _, e := range c.entries {
		out = append(out, e.problems...)
		for _, p := range e.ports {
			out = append(out, p.problems...)
			out = append(out, p.apart...)
		}
	}
	for _, h := range c.hosts {
		out = append(out, h.problems...)
	}
	for _, p := range c.ports {
		out = append(out, p.problems...)
	}
	out = append(out, c.secrets.problems...)
	if c.caller.Gateway {
		// What sidecars find nowhere it isn't sent to: what its own listeners' rules
		// miss they tell themselves.
		out = slices.DeleteFunc(out, func(p model.Problem) bool { return p.Reason == unknownDestination })
	}
	return out
}

// View is what a proxy sees. Proxies of one class get the same layers, and
// snapshots that follow each other share the layers that have not changed.
func (s *Snapshot) View(p *model.Proxy) *envoy.View {
	s = s.seenBy(p)
	return s.patch(p, s.unpatched(p))
}

func (s *Snapshot) unpatched(p *model.Proxy) *envoy.View { return s.plug(p, s.log(p, s.plain(p))) }

// plain is what the translators make, without plugins and patches.
func (s *Snapshot) plain(p *model.Proxy) *envoy.View {
	switch {
	case p.EastWest():
		return s.eastWest(p)
	case p.Type == model.Sidecar:
		return s.sidecar(p)
	case p.Type == model.Router:
		return s.northSouth(p)
	default:
		return &envoy.View{}
	}
}

func (s *Snapshot) sidecar(p *model.Proxy) *envoy.View {
	own := s.workloads.inbound(s.mesh, s.scope, p)
	c := s.classOf(p)
	seen := s.endpointClass(c, s.locality(p))
	secrets := envoy.Layers{Shared: c.secrets.files.layer}
	if p.Workload != nil {
		secrets.Own = ownSecrets(c.secrets, own.secrets)
	}
	return &envoy.View{Types: map[string]envoy.Layers{
		envoy.ClusterType:   {Shared: seen.clusters.layer, Own: own.clusters},
		envoy.EndpointType:  {Shared: seen.endpoints.layer},
		envoy.ListenerType:  {Shared: s.withoutSelf(p.Workload, c.listeners.layer, own.listeners), Own: own.listeners},
		envoy.RouteType:     {Shared: c.routes.layer, Own: s.routeClass(c, p.Namespace).layer.layer},
		envoy.NameTableType: {Shared: c.table.layer},
		envoy.SecretType:    secrets,
		envoy.RuntimeType:   {Own: s.farewell(p)},
		envoy.ExtensionType: {Shared: own.rules},
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
	if s.near < bySubZone {
		at.SubZone = ""
	}
	if s.near < byZone {
		at.Zone = ""
	}
	return at
}

func sameServices(a, b []model.ServiceState) bool {
	return slices.EqualFunc(a, b, func(a, b model.ServiceState) bool { return a.Service == b.Service })
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
