// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// how something stands in for an object that a proxy refuses.
type how uint8

const (
	// asBefore: the object as it was before its last change.
	asBefore how = iota
	// asNothing: the object is left out.
	asNothing
	// closed: what the object is about is there, and leads nowhere.
	closed
	// shut is closed, whatever the object's own matches are.
	shut
)

// standIn for an object.
type standIn struct {
	how    how
	pieces *pieces
}

// change of an object, as far as it is remembered.
type change struct {
	// before is what the object was; nil when it is new.
	before *pieces
	// since is the look at which it came to be as it is.
	since int
}

// nowhere is a destination that is not followed.
var nowhere = []model.Destination{{Invalid: refusedMessage}}

// refusedMessage says why a stand-in leads nowhere.
const refusedMessage = "its proxy refuses the object"

// standInsFor an object at a pod, in the order in which they are tried; each
// takes away more than the one before it. None of them opens what the object may
// have closed: only when the proxy is known to have run before the object came, it
// (ran) may be left out; and what it was, or that it wasn't, must suit what is beside it
// now. Of a policy nothing stands in but denial.
func standInsFor(is *pieces, was change, known, ran bool, remembered *standIn, suits func(standIn) bool, otherwise []standIn) []standIn {
	var out []standIn
	before := standIn{asBefore, was.before}
	switch {
	case len(is.authorizations)+len(is.authentications) > 0:
	case remembered != nil && suits(*remembered):
		out = append(out, *remembered)
	case known && was.before != nil && suits(before):
		out = append(out, before)
	case known && was.before == nil && ran && suits(standIn{how: asNothing}):
		// It ran without the object.
		return []standIn{{how: asNothing}}
	}
	if len(out) > 0 && out[0].how == asNothing {
		return out
	}
	if len(is.patches)+len(is.telemetries)+len(is.limits) > 0 {
		return append(out, standIn{how: asNothing})
	}
	return append(out, otherwise...)
}

// closedStandIns of pieces; none where nothing is sure to open nothing.
func closedStandIns(is *pieces) []standIn {
	switch {
	case len(is.routings) > 0:
		a, b := &pieces{}, &pieces{}
		for _, r := range is.routings {
			a.routings = append(a.routings, r.Barred(refusedMessage))
			b.routings = append(b.routings, shutRouting(r))
		}
		return []standIn{{closed, a}, {shut, b}}
	case len(is.listeners) > 0:
		return closedListeners(is.listeners)
	case len(is.delegated) > 0:
		return closedDelegates(is.delegated)
	case len(is.scopes) > 0:
		// Calls, what is taken, or both.
		x := is.scopes[0]
		return []standIn{{closed, closedScope(x, true, false)}, {closed, closedScope(x, false, true)}, {shut, closedScope(x, true, true)}}
	case len(is.policies) > 0:
		p, q := &pieces{}, &pieces{}
		for _, d := range is.policies {
			p.policies = append(p.policies, bare(d))
			q.policies = append(q.policies, unsent(d))
		}
		return []standIn{{closed, p}, {shut, q}}
	case len(is.services) > 0:
		p := &pieces{}
		for _, st := range is.services {
			p.services = append(p.services, deserted(st))
		}
		return []standIn{{closed, p}}
	case len(is.authorizations)+len(is.authentications) > 0:
		p := &pieces{}
		for _, a := range is.authorizations {
			denies := *a
			denies.Invalid = refusedMessage
			p.authorizations = append(p.authorizations, &denies)
		}
		for _, a := range is.authentications {
			denies := *a
			denies.Rules = nil
			for _, r := range a.Rules {
				denies.Rules = append(denies.Rules, model.JWTRule{
					Issuer: r.Issuer, FromHeaders: r.FromHeaders, FromParams: r.FromParams, FromCookies: r.FromCookies, Invalid: refusedMessage,
				})
			}
			p.authentications = append(p.authentications, &denies)
		}
		return []standIn{{closed, p}}
	}
	return nil
}

// shutRouting leads nowhere whatever is called on its hosts.
func shutRouting(r *model.Routing) *model.Routing {
	out := *r
	out.HTTP, out.TLS, out.TCP, out.UDP = nil, nil, nil, nil
	if len(r.HTTP) > 0 {
		out.HTTP = []model.HTTPRule{{Invalid: refusedMessage}}
	}
	if len(r.TLS) > 0 {
		out.TLS = []model.TLSRule{{Matches: []model.TLSMatch{{ServerNames: r.Hosts}}, Destinations: nowhere}}
	}
	if len(r.TCP) > 0 {
		out.TCP = []model.TCPRule{{Destinations: nowhere}}
	}
	if len(r.UDP) > 0 {
		out.UDP = []model.TCPRule{{Destinations: nowhere}}
	}
	return &out
}

// bare is a policy of which only TLS and the subsets are left: they say whom
// callers trust, and who is called at all.
func bare(d *model.DestinationPolicy) *model.DestinationPolicy {
	only := func(p model.TrafficPolicy) model.TrafficPolicy {
		out := model.TrafficPolicy{PortPolicy: model.PortPolicy{Port: p.Port, TLS: p.TLS}}
		for _, on := range p.Ports {
			out.Ports = append(out.Ports, model.PortPolicy{Port: on.Port, TLS: on.TLS})
		}
		return out
	}
	out := *d
	out.Policy = only(d.Policy)
	out.Subsets = slices.Clone(d.Subsets)
	for i := range out.Subsets {
		out.Subsets[i].Policy = only(out.Subsets[i].Policy)
	}
	return &out
}

// unsent is a policy by which nothing is sent: what it says of TLS is refused, too.
func unsent(d *model.DestinationPolicy) *model.DestinationPolicy {
	out := *d
	out.Policy = model.TrafficPolicy{PortPolicy: model.PortPolicy{Port: d.Policy.Port, TLS: &model.ClientTLS{Invalid: refusedMessage}}}
	out.Subsets = slices.Clone(d.Subsets)
	for i := range out.Subsets {
		out.Subsets[i].Policy = model.TrafficPolicy{}
	}
	return &out
}

// deserted is a service without anybody behind it.
func deserted(st model.ServiceState) model.ServiceState {
	svc := *st.Service
	svc.Resolution, svc.SubjectNames = model.Discovered, nil
	out := model.ServiceState{Service: &svc}
	for range st.Endpoints {
		out.Endpoints = append(out.Endpoints, &model.EndpointSet{})
	}
	for range st.UDP {
		out.UDP = append(out.UDP, &model.EndpointSet{})
	}
	return out
}

// goesOn says what holds at the proxy meanwhile.
func (s standIn) goesOn(kind string) string {
	what := "it"
	if kind == kindEnvoyFilter {
		what = "the whole filter"
	}
	switch {
	case s.how == asBefore:
		return what + " stays there as it was before the change"
	case s.how == asNothing:
		return what + " is left out for it"
	case len(s.pieces.listeners) > 0:
		return "nothing is served there for its hosts"
	case len(s.pieces.scopes) > 0:
		return scopeGoesOn(s.pieces.scopes[0])
	case len(s.pieces.delegated) > 0:
		return "calls that its rules are about fail there"
	case len(s.pieces.policies) > 0 && s.how == shut:
		return "nothing is sent there to its hosts"
	case len(s.pieces.policies) > 0:
		return "only its TLS settings and subsets hold there"
	case len(s.pieces.services) > 0:
		return "its hosts have no endpoints there"
	case len(s.pieces.authorizations) > 0:
		return "all that it guards is denied there"
	case len(s.pieces.authentications) > 0:
		return "no token of its issuers is valid there"
	case s.how == shut:
		return "all calls to its hosts fail there"
	}
	return "calls that it is about fail there"
}
