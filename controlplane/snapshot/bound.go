// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// boundOf a class are the egress listeners of its Scope that have an address of
// their own, with the services that each names. It returns which of them has an
// address, by the names of listeners that would take captured calls to it.
func (s *Snapshot) boundOf(c, earlier *class) map[string]string {
	if c.scope == nil {
		return nil
	}
	known := func(now *envoy.Resource, among []*envoy.Resource) *envoy.Resource {
		if now == nil {
			return nil
		}
		return keepAmong(among, now)
	}
	taken, held := map[string]string{}, map[string]string{}
	for _, l := range c.scope.Ingress {
		// Where it is to have every address it gets the pod's.
		if a, err := netip.ParseAddr(l.Bind); err == nil && !a.IsUnspecified() && l.NoCapture && !l.Closed {
			taken[sidecar.BoundAt(&model.Egress{Bind: l.Bind, Port: l.Port})] = "an ingress listener"
		}
	}
	for i := range c.scope.Egress {
		e := &c.scope.Egress[i]
		if !sidecar.IsBound(e) || e.Closed {
			continue
		}
		at := sidecar.BoundAt(e)
		if by := taken[at]; by != "" {
			c.scopeProblems = append(c.scopeProblems, c.scope.Problem("spec.egress", "Conflict", fmt.Sprintf("%s has %s too, and holds: remove egress[%d], or give it another port or address", by, at, i)))
			continue
		}
		taken[at] = fmt.Sprintf("egress[%d]", i)
		if sidecar.Taken(e) {
			c.scopeProblems = append(c.scopeProblems, c.scope.Problem("spec.egress", "ReservedPort", fmt.Sprintf("port %d is the proxy's own, so the listener is left out; use another one", e.Port)))
			continue
		}
		p, hosts := s.takenBy(c, e)
		shared, problems := sharedPort(p)
		shared.HTTP = len(hosts) > 0 || e.Protocol.IsHTTP()
		c.scopeProblems = append(c.scopeProblems, problems...)
		l, err := sidecar.BoundListener(c.settings, e, shared)
		if err != nil {
			c.scopeProblems = append(c.scopeProblems, c.scope.Problem("spec.egress", "NotTranslated", err.Error()))
			continue
		}
		c.bound = append(c.bound, known(l, earlier.bound))
		held[at] = taken[at]
		if a, err := netip.ParseAddr(e.Bind); err == nil && a.IsUnspecified() && (a.Is4() || s.ipv6) {
			held[envoy.PortListener(e.Port)] = taken[at]
		}
		if shared.HTTP {
			r, err := sidecar.BoundRoutes(c.settings, e, hosts)
			if err != nil {
				c.scopeProblems = append(c.scopeProblems, c.scope.Problem("spec.egress", "NotTranslated", err.Error()))
				continue
			}
			c.boundRoutes = append(c.boundRoutes, known(r, earlier.boundRoutes))
		}
	}
	return held
}

// beside the listeners that a Scope has at addresses of their own: one of an
// address that none of them has. Envoy takes one listener of an address, whether it
// is bound there or takes captured calls, and what a Scope says of an address or a
// port goes before what is said of all.
func (c *class) beside(held map[string]string, listeners []*envoy.Resource) []*envoy.Resource {
	if len(held) == 0 {
		return listeners
	}
	out := make([]*envoy.Resource, 0, len(listeners))
	told := map[string]bool{} // several services may have one address
	for _, l := range listeners {
		if l == nil { // it could not be written, which was told
			continue
		}
		by := held[l.Name]
		if by == "" {
			out = append(out, l)
			continue
		}
		if told[l.Name] {
			continue
		}
		told[l.Name] = true
		c.scopeProblems = append(c.scopeProblems, c.scope.Problem("spec.egress", "Conflict", fmt.Sprintf(
			"%s has %s, and takes the calls to it alone: services, and hosts of VirtualServices, that are called there too and that it doesn't name are unknown; name them in its hosts, or give it another port or address", by, l.Name)))
	}
	return out
}

// takenBy an egress listener: the ports of the services that it names which
// have its number, or all of them where requests name the port.
func (s *Snapshot) takenBy(c *class, e *model.Egress) (p port, hosts [][]byte) {
	p.number = e.Port
	for _, entry := range c.entries {
		svc := entry.in.svc
		if svc.Kind == model.ExternalName && !entry.in.external || !scope.Names(e.Hosts, svc, c.caller.Namespace) {
			continue
		}
		call := s.call(c, entry.in)
		first := true
		for i, q := range svc.Ports {
			asHTTP := q.Protocol.IsHTTP() || q.Protocol == model.Auto && (e.AnyPort || e.Protocol.IsHTTP())
			switch {
			case !e.AnyPort && q.Number != e.Port:
			case asHTTP && (e.AnyPort || e.Protocol == model.Auto || e.Protocol.IsHTTP()):
				if of, b := s.boundHosts(c, e, call, entry.in, i, first); b != nil {
					hosts, first = append(hosts, b), false
					p.hosts = append(p.hosts, map[string]*part{"": of})
				}
			case !asHTTP && !e.AnyPort && !e.Protocol.IsHTTP():
				of, rest := call.ByServerName(i)
				p.chains = append(p.chains, &chains{of: of, rest: rest, origin: originOf(svc)})
			}
		}
	}
	slices.SortStableFunc(p.chains, func(a, b *chains) int { return a.origin.Older(b.origin) })
	return p, hosts
}

// boundHosts of a service's port behind an egress listener, and the part that they
// come from; nil for none. What is wrong with its routes is told where everybody's are made.
func (s *Snapshot) boundHosts(c *class, e *model.Egress, call sidecar.Call, in serviceInputs, port int, first bool) (*part, []byte) {
	routes, _ := call.Routes(in.svc.Ports[port].Number)
	parts, err := s.hosts(call, in, port, routes)
	if err != nil {
		return nil, nil
	}
	of := parts[c.caller.Namespace]
	if of == nil {
		of = parts[""]
	}
	switch {
	case of == nil:
		return nil, nil
	case !e.AnyPort:
		return of, of.encoded
	}
	b, err := sidecar.AtPort(of.encoded, in.svc.Ports[port].Number, first)
	if err != nil {
		return nil, nil
	}
	return of, b
}
