// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// endpointClass is what callers in one locality see of endpoints.
type endpointClass struct {
	// near is what depends on the locality, by what it was made of.
	near      map[endpointKey]*envoy.Resource
	endpoints layer
}

// endpointKey is a port of a service; its endpoints and the service as they were.
type endpointKey struct {
	svc  *model.Service
	set  *model.EndpointSet
	port int
}

func (s *Snapshot) endpointClass(at model.Locality) *endpointClass {
	return s.localities.class(at).get(func(earlier *endpointClass) *endpointClass {
		if earlier == nil {
			earlier = &endpointClass{}
		}
		return s.seenFrom(at, earlier)
	})
}

// seenFrom translates the endpoints whose order depends on the locality.
func (s *Snapshot) seenFrom(at model.Locality, earlier *endpointClass) *endpointClass {
	byName := make(map[string]*envoy.Resource, len(earlier.near))
	for _, r := range earlier.near {
		byName[r.Name] = r
	}
	out := &endpointClass{near: make(map[endpointKey]*envoy.Resource, len(earlier.near))}
	var near []*envoy.Resource
	for _, e := range s.entries {
		for i, p := range e.ports {
			if p.anywhere != nil || p.svc.Kind == model.ExternalName {
				continue
			}
			key := endpointKey{p.svc, p.set, i}
			r := earlier.near[key]
			if r == nil {
				made, err := sidecar.Endpoints(s.mesh.Settings, p.svc, i, p.set, at)
				if err != nil {
					// Build has reported it: the same strings fail everywhere.
					continue
				}
				r = keep(byName[made.Name], made)
			}
			out.near[key] = r
			near = append(near, r)
		}
	}
	if len(near) == 0 {
		// The common layer itself serves.
		out.endpoints = s.common.endpoints
		return out
	}
	out.endpoints = earlier.endpoints.over(slices.Concat(s.common.endpoints.of, near))
	return out
}

// routeClass is what callers in one namespace see of shared ports.
type routeClass struct {
	// made of these ports.
	ports []port
	layer layer
}

func (s *Snapshot) routeClass(namespace string) *routeClass {
	return s.namespaces.class(namespace).get(func(earlier *routeClass) *routeClass {
		if earlier == nil {
			earlier = &routeClass{}
		}
		before := make(map[uint16]int, len(earlier.ports))
		for i, p := range earlier.ports {
			before[p.number] = i
		}
		out := &routeClass{ports: s.ports}
		resources := make([]*envoy.Resource, 0, len(s.ports))
		for _, p := range s.ports {
			resources = append(resources, s.routesFrom(namespace, p, before, earlier))
		}
		out.layer = earlier.layer.over(resources)
		return out
	})
}

func (s *Snapshot) routesFrom(namespace string, p port, before map[uint16]int, earlier *routeClass) *envoy.Resource {
	if !p.namespaces[namespace] {
		return p.routes
	}
	i, ok := before[p.number]
	// The generic routes are made anew whenever any virtual host of the port is.
	if ok && sameParts(earlier.ports[i], p) {
		return earlier.layer.layer.Get(envoy.PortRoute(p.number))
	}
	r, err := sidecar.PortRoutes(s.mesh.Settings, p.number, p.seenFrom(namespace))
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
