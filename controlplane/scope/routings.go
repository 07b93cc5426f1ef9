// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// routings by the gateway, or Sidecars, that they are bound to; the oldest first.
type routings struct {
	at map[model.GatewayRef][]*model.Routing
}

func indexRoutings(mesh *model.Mesh) *routings {
	out := &routings{at: map[model.GatewayRef][]*model.Routing{}}
	for _, r := range mesh.Routings {
		var whole []model.GatewayRef
		for _, g := range r.Gateways {
			g.Listener = ""
			if !slices.Contains(whole, g) {
				whole = append(whole, g)
				out.at[g] = append(out.at[g], r)
			}
		}
	}
	return out
}

// bound routings that sidecars of one view see.
type bound struct {
	all []*model.Routing
	// exact hosts, and wildcards with the longest first.
	exact     map[string][]*model.Routing
	wildcards []wildcardRoutings
}

type wildcardRoutings struct {
	host string
	of   []*model.Routing
}

// seen by the sidecars of a view.
func (r *routings) seen(k viewKey, s *services) *bound {
	out := &bound{exact: map[string][]*model.Routing{}}
	for _, routing := range r.at[model.Sidecars] {
		if !holds(routing, k.namespace) {
			continue
		}
		hosts := routing.Hosts
		if k.scope != nil && k.scope.Egress != nil {
			hosts = slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return !s.named(k, routing, h) })
		}
		if len(hosts) == 0 {
			continue
		}
		out.all = append(out.all, routing)
		for _, h := range hosts {
			out.add(h, routing)
		}
	}
	slices.SortStableFunc(out.wildcards, func(a, b wildcardRoutings) int { return len(b.host) - len(a.host) })
	return out
}

func (b *bound) add(host string, r *model.Routing) {
	if !strings.HasPrefix(host, "*") {
		b.exact[host] = append(b.exact[host], r)
		return
	}
	i := slices.IndexFunc(b.wildcards, func(w wildcardRoutings) bool { return w.host == host })
	if i < 0 {
		i = len(b.wildcards)
		b.wildcards = append(b.wildcards, wildcardRoutings{host: host})
	}
	b.wildcards[i].of = append(b.wildcards[i].of, r)
}

// named is true when a Scope's hosts name a routing's host: "namespace/host"
// with the routing's namespace, or for a route whose parent is a service with
// that service's.
func (s *services) named(k viewKey, r *model.Routing, host string) bool {
	namespaces := []string{r.Namespace}
	if r.BySpecificity {
		namespaces = s.of[model.Hostname(host)]
	}
	return slices.ContainsFunc(k.scope.Egress, func(e model.Egress) bool {
		return names(e.Hosts, namespaces, k.namespace, func(pattern string) bool { return Covers(pattern, host) || Covers(host, pattern) })
	})
}

// holds is true when a routing is for the callers of a namespace.
func holds(r *model.Routing, namespace string) bool {
	return r.Visible.In(namespace) && (r.ConsumerNamespace == "" || r.ConsumerNamespace == namespace)
}

// destinations of all rules; a host may be there more than once.
func (b *bound) destinations() []model.Hostname {
	var out []model.Hostname
	for _, r := range b.all {
		for d := range Destinations(r) {
			out = append(out, d.Host)
		}
	}
	return out
}

// Routings that are bound to a gateway's listener, or to Sidecars, and that a
// caller sees; the oldest first. Read only.
func (x *Index) Routings(c Caller, at model.GatewayRef) []*model.Routing {
	if at == model.Sidecars && !c.Gateway {
		return x.view(c).routings.all
	}
	whole := at
	whole.Listener = ""
	var out []*model.Routing
	for _, r := range x.routings.at[whole] {
		if r.BoundTo(at) && holds(r, c.Namespace) {
			out = append(out, r)
		}
	}
	return out
}

// Governing are the routings by which sidecars route calls to a host: those of
// the most specific host that takes it in. Of Istio's routings the narrowest
// export holds alone, then the oldest; routes of the Gateway API hold together, those of the caller's own
// namespace before those of the service's. Read only.
func (x *Index) Governing(c Caller, host model.Hostname) []*model.Routing {
	b := x.view(c).routings
	if of := effective(b.exact[string(host)], c.Namespace); len(of) > 0 {
		return of
	}
	for _, w := range b.wildcards {
		if Covers(w.host, string(host)) {
			return effective(w.of, c.Namespace)
		}
	}
	return nil
}

// effective of the routings on one host, the oldest first.
func effective(of []*model.Routing, namespace string) []*model.Routing {
	if len(of) < 2 {
		return of
	}
	if !of[0].BySpecificity {
		return narrowest(of)
	}
	var own, all []*model.Routing
	for _, r := range of {
		switch {
		case !r.BySpecificity:
		case r.ConsumerNamespace == namespace && namespace != "":
			own = append(own, r)
		default:
			all = append(all, r)
		}
	}
	if len(own) > 0 {
		return own
	}
	return all
}

// narrowest of Istio's routings on one host: one that is exported to its own
// namespace alone goes before one that is exported to some, and that before
// everybody's, whatever their age, as in Istio. So callers may route a service in
// their own way.
func narrowest(of []*model.Routing) []*model.Routing {
	best := 0
	for i, r := range of {
		if !r.BySpecificity && width(r) < width(of[best]) {
			best = i
		}
	}
	return of[best : best+1]
}

// width of a routing's export: its own namespace, some, or all.
func width(r *model.Routing) int {
	switch {
	case !r.Visible.Limited:
		return 2
	case len(r.Visible.Namespaces) == 1 && r.Visible.Namespaces[0] == r.Namespace:
		return 0
	}
	return 1
}

// Hosts that routings of sidecars name and a caller sees, sorted.
func (x *Index) Hosts(c Caller) []string {
	b := x.view(c).routings
	out := make([]string, 0, len(b.exact)+len(b.wildcards))
	for h := range b.exact {
		out = append(out, h)
	}
	for _, w := range b.wildcards {
		out = append(out, w.host)
	}
	slices.Sort(out)
	return out
}
