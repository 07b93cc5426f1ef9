// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// object that pieces of a mesh come from.
type object struct {
	kind, namespace, name string
	// part of the object that something may stand in for alone: the listener of a
	// gateway; empty for the object itself.
	part string
}

func (o object) compare(p object) int {
	if c := compare(o.kind, p.kind, o.namespace, p.namespace); c != 0 {
		return c
	}
	return compare(o.name, p.name, o.part, p.part)
}

// whole is the object that a part is of.
func (o object) whole() object {
	o.part = ""
	return o
}

func objectOf(o model.Origin) object {
	return object{kind: o.Kind, namespace: o.Namespace, name: o.Name}
}

// pieces of a mesh that come from one object. Those of one object are nearly
// always of one sort.
type pieces struct {
	patches         []*model.Patch
	routings        []*model.Routing
	policies        []*model.DestinationPolicy
	services        []model.ServiceState
	listeners       []listener
	delegated       []delegated
	scopes          []*model.Scope
	authorizations  []*model.Authorization
	authentications []*model.RequestAuthentication
	telemetries     []*model.Telemetry
	limits          []*model.RateLimit
}

// origin of the pieces; the zero value for none.
func (p *pieces) origin() model.Origin {
	switch {
	case len(p.patches) > 0:
		return p.patches[0].Origin
	case len(p.routings) > 0:
		return p.routings[0].Origin
	case len(p.policies) > 0:
		return p.policies[0].Origin
	case len(p.services) > 0:
		return originOf(p.services[0].Service)
	case len(p.listeners) > 0:
		return p.listeners[0].of.Origin
	case len(p.delegated) > 0:
		return *p.delegated[0].rules[0].Delegate
	case len(p.scopes) > 0:
		return p.scopes[0].Origin
	case len(p.authorizations) > 0:
		return p.authorizations[0].Origin
	case len(p.authentications) > 0:
		return p.authentications[0].Origin
	case len(p.telemetries) > 0:
		return p.telemetries[0].Origin
	case len(p.limits) > 0:
		return p.limits[0].Origin
	}
	return model.Origin{}
}

// isEntry is true for what a ServiceEntry says. Services of Kubernetes have nothing
// in them that a proxy may refuse.
func isEntry(svc *model.Service) bool { return svc.Origin.Kind == "ServiceEntry" }

// originated pieces tell their object.
type originated interface {
	comparable
	Object() model.Origin
}

// changed are the objects that are not in two meshes alike.
func changed(before, after *model.Mesh) map[object]bool {
	out := map[object]bool{}
	differ(out, before.Patches, after.Patches)
	differ(out, before.Routings, after.Routings)
	differDelegates(out, before.Routings, after.Routings)
	differ(out, before.Policies, after.Policies)
	differListeners(out, before.Gateways, after.Gateways)
	differ(out, before.Scopes, after.Scopes)
	differ(out, before.Authorizations, after.Authorizations)
	differ(out, before.Authentications, after.Authentications)
	differ(out, before.Telemetries, after.Telemetries)
	differ(out, before.RateLimits, after.RateLimits)
	differServices(out, before.Services, after.Services)
	return out
}

// differServices is differ for what ServiceEntries say, their endpoints included.
func differServices(into map[object]bool, before, after []model.ServiceState) {
	same := func(a, b model.ServiceState) bool {
		return a.Service == b.Service && (!isEntry(a.Service) || ofPods(b) || slices.Equal(a.Endpoints, b.Endpoints))
	}
	if slices.EqualFunc(before, after, same) {
		return
	}
	had := make(map[*model.Service]model.ServiceState)
	for _, st := range before {
		if isEntry(st.Service) {
			had[st.Service] = st
		}
	}
	for _, st := range after {
		if is, ok := had[st.Service]; isEntry(st.Service) && (!ok || !same(is, st)) {
			into[objectOf(st.Service.Origin)] = true
		}
		delete(had, st.Service)
	}
	for svc := range had {
		into[objectOf(svc.Origin)] = true
	}
}

// ofPods is true when the endpoints are pods, which come and go without a change
// of the object.
func ofPods(st model.ServiceState) bool {
	return slices.ContainsFunc(st.Endpoints, func(s *model.EndpointSet) bool {
		return slices.ContainsFunc(s.Endpoints, func(e model.Endpoint) bool { return e.Workload != "" })
	})
}

// differ adds the objects whose pieces only one of two lists has.
func differ[T originated](into map[object]bool, before, after []T) {
	if slices.Equal(before, after) {
		return
	}
	had := make(map[T]bool, len(before))
	for _, p := range before {
		had[p] = true
	}
	for _, p := range after {
		if !had[p] {
			into[objectOf(p.Object())] = true
		}
		delete(had, p)
	}
	for p := range had {
		into[objectOf(p.Object())] = true
	}
}

// gather the pieces of some objects; an object that has none has no entry.
func gather[V any](m *model.Mesh, wanted map[object]V) map[object]*pieces {
	out := make(map[object]*pieces, len(wanted))
	if len(wanted) == 0 {
		return out
	}
	part := func(k object) *pieces {
		if _, ok := wanted[k]; !ok {
			return nil
		}
		if out[k] == nil {
			out[k] = &pieces{}
		}
		return out[k]
	}
	of := func(o model.Origin) *pieces { return part(objectOf(o)) }
	collect(m.Patches, of, func(p *pieces) *[]*model.Patch { return &p.patches })
	collect(m.Routings, of, func(p *pieces) *[]*model.Routing { return &p.routings })
	collect(m.Policies, of, func(p *pieces) *[]*model.DestinationPolicy { return &p.policies })
	collect(m.Scopes, of, func(p *pieces) *[]*model.Scope { return &p.scopes })
	collect(m.Authorizations, of, func(p *pieces) *[]*model.Authorization { return &p.authorizations })
	collect(m.Authentications, of, func(p *pieces) *[]*model.RequestAuthentication { return &p.authentications })
	collect(m.Telemetries, of, func(p *pieces) *[]*model.Telemetry { return &p.telemetries })
	collect(m.RateLimits, of, func(p *pieces) *[]*model.RateLimit { return &p.limits })
	for _, st := range m.Services {
		if p := of(originOf(st.Service)); p != nil {
			p.services = append(p.services, st)
		}
	}
	for _, g := range m.Gateways {
		for i := range g.Listeners {
			if p := part(listenerOf(g, i)); p != nil {
				p.listeners = append(p.listeners, listener{headOf(g), g.Listeners[i]})
			}
		}
	}
	for _, r := range m.Routings {
		for _, d := range delegatedBy(r) {
			if p := part(objectOf(*d.rules[0].Delegate)); p != nil {
				p.delegated = append(p.delegated, d)
			}
		}
	}
	return out
}

func collect[T originated](list []T, of func(model.Origin) *pieces, in func(*pieces) *[]T) {
	for _, x := range list {
		if p := of(x.Object()); p != nil {
			to := in(p)
			*to = append(*to, x)
		}
	}
}

// with is a mesh in which other pieces stand in for those of some objects, in
// their places. What isn't replaced is the mesh's own.
func with(m *model.Mesh, instead map[object]standIn) *model.Mesh {
	out := *m
	out.Patches = replaced(m.Patches, instead, func(p *pieces) []*model.Patch { return p.patches })
	out.Routings = replaced(m.Routings, instead, func(p *pieces) []*model.Routing { return p.routings })
	out.Policies = replaced(m.Policies, instead, func(p *pieces) []*model.DestinationPolicy { return p.policies })
	out.Routings = replacedDelegates(out.Routings, instead)
	out.Gateways = replacedListeners(m.Gateways, instead)
	out.Scopes = replaced(m.Scopes, instead, func(p *pieces) []*model.Scope { return p.scopes })
	out.Authorizations = replaced(m.Authorizations, instead, func(p *pieces) []*model.Authorization { return p.authorizations })
	out.Authentications = replaced(m.Authentications, instead, func(p *pieces) []*model.RequestAuthentication { return p.authentications })
	out.Telemetries = replaced(m.Telemetries, instead, func(p *pieces) []*model.Telemetry { return p.telemetries })
	out.RateLimits = replaced(m.RateLimits, instead, func(p *pieces) []*model.RateLimit { return p.limits })
	out.Services = replacedServices(m.Services, instead)
	return &out
}

func replaced[T originated](list []T, instead map[object]standIn, of func(*pieces) []T) []T {
	i := slices.IndexFunc(list, func(x T) bool { _, ok := instead[objectOf(x.Object())]; return ok })
	if i < 0 {
		return list
	}
	out := slices.Clone(list[:i])
	placed := map[object]bool{}
	for _, x := range list[i:] {
		k := objectOf(x.Object())
		by, ok := instead[k]
		switch {
		case !ok:
			out = append(out, x)
		case !placed[k] && by.pieces != nil:
			placed[k] = true
			out = append(out, of(by.pieces)...)
		}
	}
	return out
}

// replacedServices keep the pods behind them where their ports are what they were.
func replacedServices(list []model.ServiceState, instead map[object]standIn) []model.ServiceState {
	i := slices.IndexFunc(list, func(st model.ServiceState) bool { _, ok := instead[objectOf(originOf(st.Service))]; return ok })
	if i < 0 {
		return list
	}
	out := slices.Clone(list[:i])
	now := map[model.Hostname]model.ServiceState{}
	used := map[object]standIn{}
	for _, st := range list[i:] {
		k := objectOf(originOf(st.Service))
		if by, ok := instead[k]; ok {
			used[k], now[st.Service.Hostname] = by, st
			continue
		}
		out = append(out, st)
	}
	for _, by := range used {
		if by.pieces == nil {
			continue
		}
		for _, st := range by.pieces.services {
			if is, ok := now[st.Service.Hostname]; ok && by.how == asBefore && ofPods(is) && is.Service.Namespace == st.Service.Namespace && slices.Equal(is.Service.Ports, st.Service.Ports) {
				st.Endpoints = is.Endpoints
			}
			out = append(out, st)
		}
	}
	slices.SortStableFunc(out, func(a, b model.ServiceState) int {
		return compare(string(a.Service.Hostname), string(b.Service.Hostname), a.Service.Namespace, b.Service.Namespace)
	})
	return out
}
