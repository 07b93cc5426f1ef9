// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"reflect"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// listener of a gateway, by itself. Of what the others beside it say nothing is
// in it, so it is the same for as long as it says the same.
type listener struct {
	// of the gateway, without listeners.
	of model.Gateway
	is model.Listener
}

func headOf(g *model.Gateway) model.Gateway {
	head := *g
	head.Listeners = nil
	return head
}

// listenerOf a gateway, by index, as a part of the object.
func listenerOf(g *model.Gateway, i int) object {
	k := objectOf(g.Origin)
	k.part = g.Listeners[i].Name
	return k
}

// differListeners adds those of gateways that only one of two lists has. Some of
// them may say the same.
func differListeners(into map[object]bool, before, after []*model.Gateway) {
	if slices.Equal(before, after) {
		return
	}
	had := make(map[*model.Gateway]bool, len(before))
	for _, g := range before {
		had[g] = true
	}
	add := func(g *model.Gateway) {
		for i := range g.Listeners {
			into[listenerOf(g, i)] = true
		}
	}
	for _, g := range after {
		if !had[g] {
			add(g)
		}
		delete(had, g)
	}
	for g := range had {
		add(g)
	}
}

// replacedListeners of gateways, in their places.
func replacedListeners(list []*model.Gateway, instead map[object]standIn) []*model.Gateway {
	out := list
	for i, g := range list {
		var now []model.Listener
		other := false
		for j := range g.Listeners {
			by, ok := instead[listenerOf(g, j)]
			switch {
			case !ok:
				now = append(now, g.Listeners[j])
				continue
			case by.pieces != nil:
				for _, l := range by.pieces.listeners {
					now = append(now, l.is)
				}
			}
			other = true
		}
		if !other {
			continue
		}
		if &out[0] == &list[0] {
			out = slices.Clone(list)
		}
		copied := *g
		copied.Listeners = now
		out[i] = &copied
	}
	return out
}

// alone is true for a listener whose hosts no other one of its gateway would take.
func (l listener) alone(beside *model.Gateway) bool {
	return !slices.ContainsFunc(beside.Listeners, func(o model.Listener) bool {
		return o.Name != l.is.Name && o.Port == l.is.Port && !o.Invalid && meets(l.is, o)
	})
}

// closedListeners stand in for a gateway's listener: first its names are there
// and lead nowhere, then not even they.
func closedListeners(list []listener) []standIn {
	named, unnamed := &pieces{}, &pieces{}
	for _, l := range list {
		c := listener{l.of, model.Listener{
			Name: l.is.Name, Port: l.is.Port, Bind: l.is.Bind, Protocol: l.is.Protocol, Hosts: l.is.Hosts,
			RedirectHTTPS: l.is.RedirectHTTPS, Invalid: l.is.Invalid, HTTP3: l.is.HTTP3, Closed: true,
		}}
		if l.is.TLS != nil {
			c.is.TLS = &model.ListenerTLS{Mode: l.is.TLS.Mode}
		}
		named.listeners = append(named.listeners, c)
		c.is.Unnamed = true
		unnamed.listeners = append(unnamed.listeners, c)
	}
	return []standIn{{closed, named}, {shut, unnamed}}
}

// closedScope stands in for what a Scope says of calls, or of what is taken, or of
// both. Nothing is seen with it that wasn't before.
func closedScope(x *model.Scope, calls, intake bool) *pieces {
	out := *x
	if calls {
		out.RegistryOnly = x.RegistryOnly
		if x.Proxy != nil {
			closed := true // who isn't in the mesh was called by way of the proxy only
			out.Proxy, out.RegistryOnly = nil, &closed
		}
		out.Egress = slices.Clone(x.Egress)
		for i := range out.Egress {
			out.Egress[i].Closed = true
		}
	}
	if intake {
		out.Inbound = nil
		out.Ingress = nil
		for _, l := range x.Ingress {
			out.Ingress = append(out.Ingress, model.Ingress{Port: l.Port, Protocol: model.TCP, Closed: true})
		}
	}
	return &pieces{scopes: []*model.Scope{&out}}
}

// scopeGoesOn says what holds at a proxy with a stand-in for a Scope.
func scopeGoesOn(x *model.Scope) string {
	calls := slices.ContainsFunc(x.Egress, func(e model.Egress) bool { return e.Closed })
	takes := slices.ContainsFunc(x.Ingress, func(l model.Ingress) bool { return l.Closed })
	switch {
	case calls && takes:
		return "its egress listeners with an address of their own are closed there, and so are its ingress ports"
	case takes:
		return "its ingress ports are closed there"
	}
	return "its egress listeners with an address of their own are closed there"
}

// suits is true when what an object was, or that it wasn't, may stand in for it
// beside what is there now: others of its own must not take what it kept from them.
func (t *trial) suits(k object, is *pieces, by standIn) bool {
	for i, l := range is.listeners {
		alone := l.alone(t.s.gatewayOf(k))
		switch {
		case by.how == asNothing && !alone:
			return false
		case by.how == asBefore && (by.pieces == nil || i >= len(by.pieces.listeners) || !l.keeps(by.pieces.listeners[i], alone)):
			return false
		}
	}
	if len(is.delegated) == 0 {
		return true
	}
	// The rule that delegates may close what is beside it.
	return by.how == asBefore && by.pieces != nil && fits(by.pieces.delegated, is.delegated) &&
		!slices.ContainsFunc(is.delegated, func(d delegated) bool {
			return t.s.aside.changes[d.root].since >= t.s.aside.changes[k].since
		})
}

// keeps is true when a listener as it was keeps from others what it does now, and
// is no less safe.
func (l listener) keeps(was listener, alone bool) bool {
	if !reflect.DeepEqual(l.of, was.of) || l.is.Protocol != was.is.Protocol || (l.is.TLS == nil) != (was.is.TLS == nil) || l.is.TLS != nil && l.is.TLS.Mode != was.is.TLS.Mode {
		return false
	}
	if alone {
		return true
	}
	return l.is.Port == was.is.Port && l.is.Bind == was.is.Bind && !slices.ContainsFunc(hostsOf(l.is), func(h string) bool {
		return !slices.ContainsFunc(hostsOf(was.is), func(w string) bool { return scope.Covers(w, h) })
	})
}

// meets is true when two listeners have hosts in common.
func meets(a, b model.Listener) bool {
	return slices.ContainsFunc(hostsOf(a), func(h string) bool {
		return slices.ContainsFunc(hostsOf(b), func(o string) bool { return scope.Covers(h, o) || scope.Covers(o, h) })
	})
}

func hostsOf(l model.Listener) []string {
	if len(l.Hosts) == 0 {
		return []string{"*"}
	}
	out := make([]string, len(l.Hosts))
	for i, h := range l.Hosts {
		out[i] = h.Host
	}
	return out
}

// gatewayOf a listener.
func (s *Snapshot) gatewayOf(k object) *model.Gateway {
	for _, g := range s.mesh.Gateways {
		if objectOf(g.Origin) == k.whole() && slices.ContainsFunc(g.Listeners, func(l model.Listener) bool { return l.Name == k.part }) {
			return g
		}
	}
	return &model.Gateway{}
}
