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

// refusedMessage says why a stand-in leads nowhere.
const refusedMessage = "its proxy refuses the object"

// standInsFor an object at a pod, in the order in which they are tried; each
// takes away more than the one before it. None of them opens what the object may
// have closed: only when the proxy is known to have run before the object came, it
// may be left out. Of a policy nothing stands in but denial.
func standInsFor(is *pieces, was change, known bool, pod *model.Workload, remembered *standIn, otherwise []standIn) []standIn {
	var out []standIn
	switch {
	case len(is.authorizations)+len(is.authentications) > 0:
	case remembered != nil:
		out = append(out, *remembered)
	case known && was.before != nil:
		out = append(out, standIn{asBefore, was.before})
	case known && pod != nil && pod.CreatedUnix != 0 && pod.CreatedUnix < is.origin().CreatedUnix:
		// It ran without the object.
		return []standIn{{how: asNothing}}
	}
	if len(out) > 0 && out[0].how == asNothing {
		return out
	}
	if len(is.patches) > 0 {
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
			a.routings = append(a.routings, barred(r))
			b.routings = append(b.routings, shutRouting(r))
		}
		return []standIn{{closed, a}, {shut, b}}
	case len(is.policies) > 0:
		p := &pieces{}
		for _, d := range is.policies {
			p.policies = append(p.policies, bare(d))
		}
		return []standIn{{closed, p}}
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

// nowhere is a destination that is not followed.
func nowhere() []model.Destination { return []model.Destination{{Invalid: refusedMessage}} }

// barred is a routing with its own matches, that lead nowhere.
func barred(r *model.Routing) *model.Routing {
	out := *r
	out.HTTP, out.TLS = nil, nil
	for _, rule := range r.HTTP {
		out.HTTP = append(out.HTTP, model.HTTPRule{Name: rule.Name, Matches: rule.Matches, Invalid: refusedMessage})
	}
	for _, rule := range r.TLS {
		out.TLS = append(out.TLS, model.TLSRule{Name: rule.Name, Matches: rule.Matches, Destinations: nowhere()})
	}
	out.TCP, out.UDP = barredTCP(r.TCP), barredTCP(r.UDP)
	return &out
}

func barredTCP(rules []model.TCPRule) (out []model.TCPRule) {
	for _, rule := range rules {
		out = append(out, model.TCPRule{Name: rule.Name, Matches: rule.Matches, Destinations: nowhere()})
	}
	return out
}

// shutRouting leads nowhere whatever is called on its hosts.
func shutRouting(r *model.Routing) *model.Routing {
	out := *r
	out.HTTP, out.TLS, out.TCP, out.UDP = nil, nil, nil, nil
	if len(r.HTTP) > 0 {
		out.HTTP = []model.HTTPRule{{Invalid: refusedMessage}}
	}
	if len(r.TLS) > 0 {
		out.TLS = []model.TLSRule{{Matches: []model.TLSMatch{{ServerNames: r.Hosts}}, Destinations: nowhere()}}
	}
	if len(r.TCP) > 0 {
		out.TCP = []model.TCPRule{{Destinations: nowhere()}}
	}
	if len(r.UDP) > 0 {
		out.UDP = []model.TCPRule{{Destinations: nowhere()}}
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
