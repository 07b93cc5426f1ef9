// SPDX-License-Identifier: Apache-2.0

package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// routings must lead somewhere, and be bound to gateways that take their hosts.
// Those of the Gateway API tell the same in their statuses.
func (a *analysis) routings() {
	for _, r := range a.mesh.Routings {
		if r.BySpecificity {
			continue
		}
		a.bound(r)
		for i := range r.HTTP {
			rule := &r.HTTP[i]
			field := fmt.Sprintf("spec.http[%d]", i)
			a.destinations(r, field+".route", rule.Destinations)
			for j := range rule.Mirrors {
				a.destination(r, fmt.Sprintf("%s.mirrors[%d].destination", field, j), &rule.Mirrors[j].Destination)
			}
		}
		for i := range r.TLS {
			a.destinations(r, fmt.Sprintf("spec.tls[%d].route", i), r.TLS[i].Destinations)
		}
		for i := range r.TCP {
			a.destinations(r, fmt.Sprintf("spec.tcp[%d].route", i), r.TCP[i].Destinations)
		}
	}
}

func (a *analysis) destinations(r *model.Routing, field string, all []model.Destination) {
	for i := range all {
		a.destination(r, fmt.Sprintf("%s[%d].destination", field, i), &all[i])
	}
}

// destination must be a service with the port and the subset.
func (a *analysis) destination(r *model.Routing, field string, d *model.Destination) {
	host := string(d.Host)
	s, visible, ok := a.find(host, r.Namespace)
	switch {
	case host == "" || d.Invalid != "":
		return
	case !ok:
		a.tell(r.Origin, field+".host", HostNotFound, "no service is called %q; correct the name, or add a ServiceEntry for it%s", host, a.similar(host))
		return
	case !visible:
		a.tell(r.Origin, field+".host", HostNotFound, "%q is not exported to namespace %q; add it to the exportTo of the service", host, r.Namespace)
		return
	}
	if d.Port != 0 && !slices.ContainsFunc(s.Service.Ports, func(p model.Port) bool { return p.Number == d.Port }) {
		a.tell(r.Origin, field+".port.number", PortNotFound, "%q has no port %d; it has %s", host, d.Port, ports(s.Service))
	}
	if d.Subset != "" && !a.hasSubset(r.Namespace, s.Service, host, d.Subset) {
		a.tell(r.Origin, field+".subset", SubsetNotFound, "no DestinationRule of %q has a subset %q; add it there, or correct the name", host, d.Subset)
	}
}

func ports(s *model.Service) string {
	var all []string
	for _, p := range s.Ports {
		all = append(all, fmt.Sprint(p.Number))
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// hasSubset is true when a policy that the callers see defines the subset.
func (a *analysis) hasSubset(namespace string, s *model.Service, host, subset string) bool {
	return slices.ContainsFunc(a.mesh.Policies, func(p *model.DestinationPolicy) bool {
		fits := covers(p.Host, host) || covers(p.Host, string(s.Hostname)) || p.Host == "*"
		return fits && p.Visible.In(namespace) && slices.ContainsFunc(p.Subsets, func(have model.Subset) bool { return have.Name == subset })
	})
}

// bound to gateways that are there and take the hosts.
func (a *analysis) bound(r *model.Routing) {
	for _, ref := range r.Gateways {
		if ref == model.Sidecars {
			continue
		}
		g := a.gateways[ref]
		if g == nil {
			a.tell(r.Origin, "spec.gateways", GatewayNotFound, "there is no Gateway %s/%s; correct the name, or add it", ref.Namespace, ref.Name)
			continue
		}
		if !slices.ContainsFunc(r.Hosts, func(host string) bool { return served(g, r.Namespace, host) }) {
			a.tell(r.Origin, "spec.hosts", HostNotServed, "no server of Gateway %s/%s takes any of %s for namespace %q; add a host there, or here",
				ref.Namespace, ref.Name, strings.Join(r.Hosts, ", "), r.Namespace)
		}
	}
}

// served is true when a listener takes a host of a namespace's routings.
func served(g *model.Gateway, namespace, host string) bool {
	return slices.ContainsFunc(g.Listeners, func(l model.Listener) bool {
		return slices.ContainsFunc(l.Hosts, func(h model.ListenerHost) bool {
			return (h.Namespace == "" || h.Namespace == namespace) && (h.Host == "*" || covers(h.Host, host) || covers(host, h.Host) || host == "*")
		})
	})
}
