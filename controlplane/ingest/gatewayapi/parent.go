// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// route is any kind of route.
type route struct {
	of     Object
	origin model.Origin
	spec   *gateway.CommonRouteSpec
	// hosts as written; nil for kinds without.
	hosts []string
	// body translates its rules for a kind of parent.
	body func(*references) body
}

// body is what a route's rules are in the model, and what is wrong with them.
type body struct {
	http []model.HTTPRule
	tls  []model.TLSRule
	tcp  []model.TCPRule
	udp  []model.TCPRule
	// accept is a fault of the route as a whole, dropped of some of its rules.
	accept, dropped fault
	// refs is the first reference that can't be followed.
	refs fault
	// backends that it sends to, for the policies on them.
	backends []name
}

// attachment is a listener that a route is attached to, and its names there.
type attachment struct {
	listener *listener
	hosts    []string
}

// parents finds the parents that routes name.
type parents struct {
	*index
	gateways map[name]*gatewayState
	sets     map[name]*setState
	// served are the gateways that send to each service.
	served map[name]map[Object]bool
	// routings made so far.
	routings []*model.Routing
}

// attach finds what a route is to all of its parents that are ours.
func (p *parents) attach(r *route) *RouteStatus {
	status := &RouteStatus{Object: r.of}
	var north, mesh *body
	var atGateways []attachment
	for _, ref := range r.spec.ParentRefs {
		var accept fault
		var b *body
		switch group, kind := string(deref(ref.Group, gateway.GroupName)), string(deref(ref.Kind, kindGateway)); {
		case group == gateway.GroupName && (kind == kindGateway || kind == kindListenerSet):
			listeners, ours := p.listenersOf(kind, name{string(deref(ref.Namespace, gateway.Namespace(r.of.Namespace))), string(ref.Name)})
			if !ours {
				continue
			}
			if north == nil {
				made := r.body(&references{index: p.index, from: referrer{r.of.Kind, r.of.Namespace}, enforce: true})
				north = &made
			}
			b = north
			found, f := p.match(r, ref, listeners)
			if accept = b.accept; f.reason != "" {
				accept = f
			}
			if accept.none() {
				atGateways = append(atGateways, found...)
				p.serve(found, b.backends)
				for _, a := range found {
					a.listener.attached[r.of] = true
				}
			}
		case group == groupCore && kind == kindService, group == groupIstio && kind == kindEntry:
			if mesh == nil {
				made := r.body(&references{index: p.index, from: referrer{r.of.Kind, r.of.Namespace}})
				mesh = &made
			}
			b = mesh
			to, f := p.meshParent(r, ref, kind)
			if accept = f; accept.none() {
				accept = b.accept
			}
			if accept.none() {
				p.bindMesh(r, to, b)
			}
		default:
			continue
		}
		status.Parents = append(status.Parents, gateway.RouteParentStatus{
			ParentRef: ref, ControllerName: ControllerName, Conditions: routeConditions(r, accept, b),
		})
	}
	if north != nil {
		p.bindListeners(r, north, atGateways)
	}
	return status
}

func routeConditions(r *route, accept fault, b *body) []metav1.Condition {
	g := r.of.Generation
	all := []metav1.Condition{
		good(gateway.RouteConditionAccepted, gateway.RouteReasonAccepted, accept, g),
		good(gateway.RouteConditionResolvedRefs, gateway.RouteReasonResolvedRefs, b.refs, g),
	}
	if accept.none() && !b.dropped.none() {
		all = append(all, bad(gateway.RouteConditionPartiallyInvalid, gateway.RouteReasonUnsupportedValue, b.dropped, g))
	}
	return all
}

// listenersOf a Gateway, or of a ListenerSet, of ours.
func (p *parents) listenersOf(kind string, n name) ([]*listener, bool) {
	if kind == kindListenerSet {
		if s := p.sets[n]; s != nil {
			return s.listeners, true
		}
		return nil, false
	}
	if g := p.gateways[n]; g != nil {
		return g.listeners, true
	}
	return nil, false
}

// match finds the listeners that a parent reference means and that take the
// route. The fault is of the step at which none was left.
func (p *parents) match(r *route, ref gateway.ParentReference, all []*listener) ([]attachment, fault) {
	var named, allowed []*listener
	for _, l := range all {
		if (ref.SectionName == nil || *ref.SectionName == "" || *ref.SectionName == l.spec.Name) && (ref.Port == nil || *ref.Port == l.spec.Port) {
			named = append(named, l)
		}
	}
	if len(named) == 0 {
		return nil, faultf(gateway.RouteReasonNoMatchingParent, "The parent has no listener of that sectionName and port.")
	}
	for _, l := range named {
		if l.takes(p.index, r.of.Kind, r.of.Namespace) {
			allowed = append(allowed, l)
		}
	}
	if len(allowed) == 0 {
		return nil, faultf(gateway.RouteReasonNotAllowedByListeners,
			"No listener takes a %s of namespace %s: see their allowedRoutes and protocols.", r.of.Kind, r.of.Namespace)
	}
	var found []attachment
	for _, l := range allowed {
		hosts := []string{"*"}
		if r.of.Kind != kindTCPRoute && r.of.Kind != kindUDPRoute {
			hosts = intersectAll(string(deref(l.spec.Hostname, "")), r.hosts)
		}
		if len(hosts) > 0 {
			found = append(found, attachment{l, hosts})
		}
	}
	if len(found) == 0 {
		return nil, faultf(gateway.RouteReasonNoMatchingListenerHostname, "No hostname of the route fits a listener's hostname.")
	}
	return found, fault{}
}

// serve remembers that gateways send to services.
func (p *parents) serve(found []attachment, backends []name) {
	for _, b := range backends {
		for _, a := range found {
			if p.served[b] == nil {
				p.served[b] = map[Object]bool{}
			}
			p.served[b][a.listener.gateway] = true
		}
	}
}

// bindListeners makes routings: one for all listeners where the route has the same names.
func (p *parents) bindListeners(r *route, b *body, found []attachment) {
	var groups []*model.Routing
	for _, a := range found {
		i := slices.IndexFunc(groups, func(g *model.Routing) bool { return slices.Equal(g.Hosts, a.hosts) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, r.routing(b, a.hosts))
		}
		if !slices.Contains(groups[i].Gateways, a.listener.ref) {
			groups[i].Gateways = append(groups[i].Gateways, a.listener.ref)
		}
	}
	for _, g := range groups {
		slices.SortFunc(g.Gateways, compareRefs)
	}
	p.routings = append(p.routings, groups...)
}

// routing of it under some names.
func (r *route) routing(b *body, hosts []string) *model.Routing {
	return &model.Routing{Origin: r.origin, Hosts: hosts, BySpecificity: true, HTTP: b.http, TLS: b.tls, TCP: b.tcp, UDP: b.udp}
}

func compareRefs(a, b model.GatewayRef) int {
	if c := compareNames(name{a.Namespace, a.Name}, name{b.Namespace, b.Name}); c != 0 {
		return c
	}
	return compareNames(name{"", a.Listener}, name{"", b.Listener})
}
