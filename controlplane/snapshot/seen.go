// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// place is where callers of a class are.
type place struct {
	class scope.Class
	at    model.Locality
}

// endpointClass is what callers of a class in one locality see of endpoints.
type endpointClass struct {
	// near is what depends on the locality, by what it was made of.
	near      map[endpointKey][]*envoy.Resource
	endpoints layer
	// resolved clusters hold endpoints themselves, which depend on the locality.
	resolved map[*translation][]*envoy.Resource
	byName   map[string]*envoy.Resource
	clusters layer
}

// cluster as it is seen from the locality, of one that is seen everywhere.
func (e *endpointClass) cluster(everywhere *envoy.Resource) *envoy.Resource {
	if r := e.byName[everywhere.Name]; r != nil {
		return r
	}
	return everywhere
}

// endpointKey is a port of a service; its endpoints, the service and the policy as they were.
type endpointKey struct {
	svc    *model.Service
	set    *model.EndpointSet
	policy *model.DestinationPolicy
	port   int
}

func (s *Snapshot) endpointClass(c *class, at model.Locality) *endpointClass {
	return s.localities.class(place{c.key, at}).get(func(earlier *endpointClass) *endpointClass {
		if earlier == nil {
			earlier = &endpointClass{}
		}
		out := s.seenFrom(c, at, earlier)
		s.resolvedFrom(c, at, earlier, out)
		return out
	})
}

// resolvedFrom translates clusters whose endpoints proxies look up, and whose
// order depends on the locality. The others are the class's.
func (s *Snapshot) resolvedFrom(c *class, at model.Locality, earlier, out *endpointClass) {
	out.clusters = c.clusters
	out.resolved, out.byName = map[*translation][]*envoy.Resource{}, map[string]*envoy.Resource{}
	for _, e := range c.entries {
		if e.in.svc.Resolution != model.ByDNS {
			continue
		}
		list, ok := earlier.resolved[e.translation]
		if !ok {
			list = s.clustersFrom(c, e, at, earlier)
		}
		out.resolved[e.translation] = list
		for _, r := range list {
			out.byName[r.Name] = r
		}
	}
	if len(out.byName) == 0 {
		return
	}
	all := make([]*envoy.Resource, len(c.clusters.of))
	for i, r := range c.clusters.of {
		all[i] = out.cluster(r)
	}
	out.clusters = earlier.clusters.over(all)
}

// clustersFrom are those of a service whose endpoints' order depends on the locality.
func (s *Snapshot) clustersFrom(c *class, e *service, at model.Locality, earlier *endpointClass) []*envoy.Resource {
	call := s.call(c, e.in)
	var out []*envoy.Resource
	for i, reach := range e.in.reach {
		if !call.LocalityMatters(i, reach.Written) {
			continue
		}
		// What is wrong with it the class has told already.
		made, _, err := call.Clusters(i, reach, s.from(c.caller.Labels, at))
		if err != nil {
			continue
		}
		for _, r := range made {
			out = append(out, keep(earlier.byName[r.Name], r))
		}
	}
	return out
}

// seenFrom translates the endpoints whose order depends on the locality.
func (s *Snapshot) seenFrom(c *class, from model.Locality, earlier *endpointClass) *endpointClass {
	byName := make(map[string]*envoy.Resource, len(earlier.near))
	for _, list := range earlier.near {
		for _, r := range list {
			byName[r.Name] = r
		}
	}
	caller := s.from(c.caller.Labels, from)
	out := &endpointClass{near: make(map[endpointKey][]*envoy.Resource, len(earlier.near))}
	var near []*envoy.Resource
	for _, e := range c.entries {
		svc := e.in.svc
		for i, p := range e.ports {
			if p.anywhere != nil || svc.Kind == model.ExternalName || svc.Resolution != model.Discovered {
				continue
			}
			key := endpointKey{p.svc, p.set, p.policy, i}
			list, ok := earlier.near[key]
			if !ok {
				made, err := sidecar.Call{Settings: s.mesh.Settings, Service: p.svc, Policy: p.policy}.Endpoints(i, p.set, caller)
				if err != nil {
					// A class's own endpoints have reported it: the same strings fail everywhere.
					continue
				}
				for _, r := range made {
					list = append(list, keep(byName[r.Name], r))
				}
			}
			out.near[key] = list
			near = append(near, list...)
		}
	}
	if len(near) == 0 {
		// The class's layer itself serves.
		out.endpoints = c.endpoints
		return out
	}
	out.endpoints = earlier.endpoints.over(slices.Concat(c.endpoints.of, near))
	return out
}

// home is a namespace of callers of a class.
type home struct {
	class     scope.Class
	namespace string
}

// routeClass is what callers of a class in one namespace see of shared ports.
type routeClass struct {
	// made of these ports.
	ports []port
	layer layer
}

func (s *Snapshot) routeClass(c *class, namespace string) *routeClass {
	return s.namespaces.class(home{c.key, namespace}).get(func(earlier *routeClass) *routeClass {
		if earlier == nil {
			earlier = &routeClass{}
		}
		before := make(map[uint16]int, len(earlier.ports))
		for i, p := range earlier.ports {
			before[p.number] = i
		}
		out := &routeClass{ports: c.ports}
		resources := make([]*envoy.Resource, 0, len(c.ports))
		for _, p := range c.ports {
			if r := s.routesFrom(c, namespace, p, before, earlier); r != nil {
				resources = append(resources, r)
			}
		}
		out.layer = earlier.layer.over(resources)
		return out
	})
}

func (s *Snapshot) routesFrom(c *class, namespace string, p port, before map[uint16]int, earlier *routeClass) *envoy.Resource {
	if !p.namespaces[namespace] {
		return p.routes
	}
	i, ok := before[p.number]
	if c != s.common && !ok {
		// A new class begins with what everybody in the namespace sees.
		earlier = s.routeClass(s.common, namespace)
		i = slices.IndexFunc(earlier.ports, func(q port) bool { return q.number == p.number })
		ok = i >= 0 && c.settings == s.common.settings
	}
	// The generic routes are made anew whenever any virtual host of the port is.
	if ok && sameParts(earlier.ports[i], p) {
		return earlier.layer.layer.Get(envoy.PortRoute(p.number))
	}
	hosts, all := p.seenFrom(namespace)
	r, err := sidecar.PortRoutes(c.settings, p.number, hosts, all)
	if err != nil {
		return p.routes
	}
	if ok {
		return keep(earlier.layer.layer.Get(r.Name), r)
	}
	return r
}

func sameParts(a, b port) bool {
	return len(a.hosts) == len(b.hosts) && (len(a.hosts) == 0 || &a.hosts[0] == &b.hosts[0])
}
