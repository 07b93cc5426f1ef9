// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
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
}

// findIdle in the mesh; for the same objects it is the earlier one.
func (s *Snapshot) findIdle(earlier idle) idle {
	m := s.mesh
	if slices.Equal(earlier.policies, m.Policies) && slices.Equal(earlier.routings, m.Routings) && slices.Equal(earlier.gateways, m.Gateways) &&
		sameServices(earlier.services, m.Services) {
		return earlier
	}
	out := idle{policies: m.Policies, routings: m.Routings, gateways: m.Gateways, services: m.Services}
	if len(m.Policies)+len(m.Routings) == 0 {
		return out
	}
	index, routed := indexIdle(m), routedPorts(m.Routings)
	for _, p := range m.Policies {
		services := index.services(p.Host)
		var uses []destination.Use
		for _, svc := range services {
			uses = append(uses, usesOf(svc, routed)...)
		}
		out.problems = append(out.problems, destination.Idle(p, len(services), uses)...)
	}
	for _, r := range m.Routings {
		out.problems = append(out.problems, index.idleRules(r)...)
	}
	return out
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
