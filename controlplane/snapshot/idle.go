// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"maps"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// idle is what policies and routings say that nothing follows from, whoever calls.
type idle struct {
	policies []*model.DestinationPolicy
	routings []*model.Routing
	gateways []*model.Gateway
	services []model.ServiceState
	problems []model.Problem

	// index and routed are what problems were found by, of each policy and routing.
	index     *idleIndex
	routed    map[route]bool
	ofPolicy  map[*model.DestinationPolicy][]model.Problem
	ofRouting map[*model.Routing][]model.Problem
}

// findIdle in the mesh; for the same objects it is the earlier one. What is found
// of an object is found again only when the object, or what it is told by, is
// another one.
func (s *Snapshot) findIdle(earlier idle) idle {
	m := s.mesh
	surrounded := earlier.index != nil && slices.Equal(earlier.gateways, m.Gateways) && sameServices(earlier.services, m.Services)
	if surrounded && slices.Equal(earlier.policies, m.Policies) && slices.Equal(earlier.routings, m.Routings) {
		return earlier
	}
	out := idle{policies: m.Policies, routings: m.Routings, gateways: m.Gateways, services: m.Services, index: earlier.index}
	if !surrounded {
		out.index = indexIdle(m)
	}
	out.routed = routedPorts(m.Routings)
	var policies map[*model.DestinationPolicy][]model.Problem
	var routings map[*model.Routing][]model.Problem
	if surrounded {
		routings = earlier.ofRouting
		if maps.Equal(earlier.routed, out.routed) {
			policies = earlier.ofPolicy
		}
	}
	find := out.policyProblems()
	out.ofPolicy = eachOnce(m.Policies, policies, find)
	out.ofRouting = eachOnce(m.Routings, routings, out.index.idleRules)
	for _, p := range m.Policies {
		out.problems = append(out.problems, out.ofPolicy[p]...)
	}
	for _, r := range m.Routings {
		out.problems = append(out.problems, out.ofRouting[r]...)
	}
	return out
}

// eachOnce finds the problems of all objects that are not known yet.
func eachOnce[T comparable](objects []T, known map[T][]model.Problem, find func(T) []model.Problem) map[T][]model.Problem {
	out := make(map[T][]model.Problem, len(objects))
	for _, o := range objects {
		problems, ok := known[o]
		if !ok {
			problems = find(o)
		}
		out[o] = problems
	}
	return out
}

// policyProblems finds those of a policy.
func (i *idle) policyProblems() func(*model.DestinationPolicy) []model.Problem {
	// Many policies may hold for a service, those of wildcards for all.
	of := map[*model.Service][]destination.Use{}
	return func(p *model.DestinationPolicy) []model.Problem {
		services := i.index.services(p.Host)
		var uses []destination.Use
		for _, svc := range services {
			known, ok := of[svc]
			if !ok {
				known = usesOf(svc, i.routed)
				of[svc] = known
			}
			uses = append(uses, known...)
		}
		return destination.Idle(p, len(services), uses)
	}
}

// route is where rules send to, by their kind. Port 0 is any.
type route struct {
	host     model.Hostname
	port     uint16
	requests bool
}

// routedPorts are the ports that rules send to.
func routedPorts(routings []*model.Routing) map[route]bool {
	out := map[route]bool{}
	for _, r := range routings {
		of := *r
		of.TLS, of.TCP, of.UDP = nil, nil, nil
		for d := range scope.Destinations(&of) {
			out[route{d.Host, d.Port, true}] = true
		}
		of.HTTP, of.TLS, of.TCP = nil, r.TLS, r.TCP
		for d := range scope.Destinations(&of) {
			out[route{d.Host, d.Port, false}] = true
		}
	}
	return out
}

// usesOf the ports of a service.
func usesOf(svc *model.Service, routed map[route]bool) []destination.Use {
	var out []destination.Use
	for _, p := range svc.Ports {
		u := destination.UseOf(svc, p)
		for _, host := range append([]model.Hostname{svc.Hostname}, svc.Aliases...) {
			if routed[route{host, p.Number, true}] || routed[route{host, 0, true}] {
				u.Requested(p)
			}
			if routed[route{host, p.Number, false}] || routed[route{host, 0, false}] {
				u.Connected()
			}
		}
		out = append(out, u)
	}
	return out
}
