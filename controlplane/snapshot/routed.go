// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

type routes = []*routev3.Route

// routed is all that routings' translation depends on.
type routed struct {
	routings []*model.Routing
	// targets are what the destinations of the routings are, in their order.
	targets []target
	// namespace and labels of the caller, when a routing asks for them.
	namespace string
	labels    model.Labels
	// closed: server names that the routings know nothing of lead nowhere.
	closed bool
}

// target of a destination; a nil service is not known.
type target struct {
	svc    *model.Service
	policy *model.DestinationPolicy
}

func (a routed) equal(b routed) bool {
	return a.namespace == b.namespace && a.labels == b.labels && a.closed == b.closed && slices.Equal(a.routings, b.routings) && slices.Equal(a.targets, b.targets)
}

// lookup is true when some of it goes to the host that a request names.
func (a routed) lookup() bool {
	return slices.ContainsFunc(a.targets, func(t target) bool { return t.svc != nil && t.svc.Resolution == model.ByHost })
}

// routed by routings, for a class.
func (s *Snapshot) routed(c *class, routings []*model.Routing) routed {
	out := routed{routings: routings}
	for _, r := range routings {
		out.closed = out.closed || len(r.TLS) > 0 && c.settings.OutboundRegistryOnly
		if r.ConsumerNamespace != "" {
			out.namespace = c.caller.Namespace
		}
		for f := range scope.From(r) {
			if f.Namespace != "" {
				out.namespace = c.caller.Namespace
			}
			if f.Labels != "" {
				out.labels = c.caller.Labels
			}
		}
		for d := range scope.Destinations(r) {
			out.targets = append(out.targets, s.target(c, d.Host))
		}
	}
	return out
}

// governing routings of a service's hostname, else of one of its aliases.
func (s *Snapshot) governing(c *class, svc *model.Service) []*model.Routing {
	if len(s.mesh.Routings) == 0 {
		return nil
	}
	if r := s.scope.Governing(c.caller, svc.Hostname); len(r) > 0 {
		return r
	}
	for _, a := range svc.Aliases {
		if r := s.scope.Governing(c.caller, a); len(r) > 0 {
			return r
		}
	}
	return nil
}

// target that a class means by a host.
func (s *Snapshot) target(c *class, host model.Hostname) target {
	st, ok := s.scope.Service(c.caller, host)
	if !ok {
		return target{}
	}
	svc := st.Service
	if to := c.names.to[svc]; to != nil {
		svc = to
	}
	return target{svc, s.scope.Policy(c.caller, svc)}
}

// clusterOf tells a class's cluster of a destination that is called on a port.
func (s *Snapshot) clusterOf(c *class) func(model.Destination, uint16) (routing.Cluster, bool) {
	return func(d model.Destination, called uint16) (routing.Cluster, bool) {
		t := s.target(c, d.Host)
		if t.svc == nil {
			return routing.Cluster{}, false
		}
		number := d.Port
		switch {
		case number != 0:
		case len(t.svc.Ports) == 1:
			number = t.svc.Ports[0].Number
		default:
			number = called
		}
		i := slices.IndexFunc(t.svc.Ports, func(p model.Port) bool { return p.Number == number })
		if i < 0 || t.svc.Kind == model.ExternalName && !t.svc.Ports[i].Protocol.IsHTTP() {
			return routing.Cluster{}, false
		}
		if d.Subset != "" && (t.policy == nil || !slices.ContainsFunc(t.policy.Subsets, func(u model.Subset) bool { return u.Name == d.Subset })) {
			return routing.Cluster{}, false
		}
		out := routing.Cluster{Name: envoy.OutboundSubset(number, d.Subset, t.svc.Hostname)}
		to := destination.Target{Settings: s.mesh.Settings, Service: t.svc, Port: i, Policy: t.policy, Subset: d.Subset}
		out.Stream, out.ForeignTLS = destination.StreamOf(to), to.ForeignTLS()
		if p := to.PortPolicy(); p != nil {
			out.Hash = destination.HashPolicies(p.Balancer)
		}
		return out, true
	}
}
