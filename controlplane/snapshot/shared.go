// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// port is a port that services share which no address tells apart.
type port struct {
	number   uint16
	listener *envoy.Resource
	// hosts of the services on this port, in the services' order.
	hosts []map[string]*part
	// chains of the services on this port, the oldest first.
	chains []*chains
	// routes for callers of namespaces without a name of their own here; nil
	// when nothing here is HTTP.
	routes *envoy.Resource
	// namespaces that have one.
	namespaces map[string]bool
	problems   []model.Problem
}

// lookup is true when some requests go to the host that they name.
func (p port) lookup() bool {
	return slices.ContainsFunc(p.hosts, func(hosts map[string]*part) bool { return hosts[""] != nil && hosts[""].lookup })
}

// grpcWeb is true when callers of some of it may speak gRPC-Web.
func (p port) grpcWeb() bool {
	return slices.ContainsFunc(p.hosts, func(hosts map[string]*part) bool { return hosts[""] != nil && hosts[""].grpcWeb })
}

// chains of one service, or host, on a port.
type chains struct {
	of     []*listenerv3.FilterChain
	rest   *listenerv3.FilterChain
	origin model.Origin
}

// portsOf a class gathers the virtual hosts and chains of each shared port.
func (s *Snapshot) portsOf(c, earlier *class) {
	byNumber := make(map[uint16]*port)
	on := func(number uint16) *port {
		p := byNumber[number]
		if p == nil {
			p = &port{number: number}
			byNumber[number] = p
		}
		return p
	}
	for _, e := range c.entries {
		for i, hosts := range e.hosts {
			number := e.in.svc.Ports[i].Number
			if len(hosts) > 0 {
				p := on(number)
				p.hosts = append(p.hosts, hosts)
			}
			if e.chains[i] != nil {
				p := on(number)
				p.chains = append(p.chains, e.chains[i])
			}
		}
	}
	for _, h := range c.hosts {
		for number, hosts := range h.parts {
			p := on(number)
			p.hosts = append(p.hosts, hosts)
		}
		for number, of := range h.chains {
			p := on(number)
			p.chains = append(p.chains, of)
		}
	}
	before, common := portsByNumber(earlier), map[uint16]port{}
	if c != s.common && c.settings == s.common.settings {
		common = portsByNumber(s.common)
	}
	for number, p := range byNumber {
		slices.SortStableFunc(p.chains, func(a, b *chains) int { return a.origin.Older(b.origin) })
		c.ports = append(c.ports, s.port(c, *p, before[number], common[number]))
	}
	slices.SortFunc(c.ports, func(a, b port) int { return int(a.number) - int(b.number) })
}

func portsByNumber(c *class) map[uint16]port {
	out := make(map[uint16]port, len(c.ports))
	for _, p := range c.ports {
		out[p.number] = p
	}
	return out
}

// port of a class; the same as common when it is everybody's, or as before.
func (s *Snapshot) port(c *class, p, before, common port) port {
	for _, known := range []port{common, before} {
		if known.listener != nil && slices.EqualFunc(p.hosts, known.hosts, sameHosts) && slices.Equal(p.chains, known.chains) {
			return known
		}
	}
	p.namespaces = map[string]bool{}
	for _, hosts := range p.hosts {
		for ns := range hosts {
			p.namespaces[ns] = true
		}
	}
	for _, known := range []port{common, before} {
		if known.listener != nil && len(p.hosts) > 0 == (len(known.hosts) > 0) && p.lookup() == known.lookup() && p.grpcWeb() == known.grpcWeb() && slices.Equal(p.chains, known.chains) {
			p.listener, p.problems = known.listener, known.problems
			break
		}
	}
	if p.listener == nil {
		shared, problems := sharedPort(p)
		p.problems = problems
		r, err := sidecar.PortListener(c.settings, p.number, s.ipv6, shared)
		if err != nil {
			p.problems = append(p.problems, sharedProblem(err))
		}
		p.listener = keep(before.listener, r)
	}
	if len(p.hosts) > 0 {
		hosts, all := p.seenFrom("")
		r, err := sidecar.PortRoutes(c.settings, p.number, hosts, all)
		if err != nil {
			p.problems = append(p.problems, sharedProblem(err))
		}
		p.routes = keep(common.routes, keep(before.routes, r))
	}
	return p
}

// sharedPort puts chains together. Envoy refuses a listener whose chains
// overlap, so of two with one match the older keeps it.
func sharedPort(p port) (sidecar.SharedPort, []model.Problem) {
	out := sidecar.SharedPort{HTTP: len(p.hosts) > 0, Lookup: p.lookup(), GRPCWeb: p.grpcWeb()}
	var problems []model.Problem
	taken := overlap{}
	var holder model.Origin
	for _, c := range p.chains {
		for _, chain := range c.of {
			free, lost := taken.take(chain, c)
			out.Chains = append(out.Chains, free...)
			if len(lost) > 0 {
				problems = append(problems, taken.conflict(c, lost[0]))
			}
		}
		switch {
		case c.rest == nil:
		case out.Rest == nil:
			out.Rest, holder = c.rest, c.origin
		default:
			problems = append(problems, c.origin.Problem("", "PortConflict", "TCP without an address can't be told apart on one port, and "+
				holder.Kind+" "+holder.Namespace+"/"+holder.Name+", which is older, keeps it; give the service addresses or another port"))
		}
	}
	return out, problems
}

// seenFrom are the virtual hosts as callers of a namespace see them; all when
// one of them takes every host.
func (p port) seenFrom(namespace string) (out [][]byte, all bool) {
	out = make([][]byte, 0, len(p.hosts))
	for _, hosts := range p.hosts {
		h := hosts[namespace]
		if h == nil {
			h = hosts[""]
		}
		if h != nil {
			out = append(out, h.encoded)
			all = all || h.all
		}
	}
	return out, all
}

// sameHosts compares by the generic part: all parts of one service port are
// made together.
func sameHosts(a, b map[string]*part) bool { return a[""] == b[""] }

func sharedProblem(err error) model.Problem {
	return model.Problem{Kind: "Service", Reason: "NotTranslated", Message: err.Error()}
}
