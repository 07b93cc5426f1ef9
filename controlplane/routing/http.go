// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// MaxBody of a direct response. Route configurations must allow it
// (max_direct_response_body_size_bytes); Envoy's own limit is 4096.
const MaxBody = 1 << 20

// Placed are routings of one host, where they hold.
type Placed struct {
	Context
	Routings []*model.Routing
}

// HTTP turns the HTTP rules of routings on one host into routes in the order in
// which Envoy is to try them. The routings are those whose hosts fit best, the
// oldest first. It returns no routes when no rule holds for the caller: the
// virtual host is then what it would be without routings. Otherwise requests
// that match none get 404 from Envoy. Routes share parts; they are read only.
//
// At a gateway the rules of several VirtualServices on one host are tried one
// VirtualService after the other, those without any condition last. At sidecars
// the oldest one alone holds, and the others have a problem. So has a rule that
// an older object leaves no request for; it is left out.
func HTTP(c Context, routings []*model.Routing) ([]*routev3.Route, []model.Problem) {
	return Together([]Placed{{c, routings}})
}

// Together is HTTP for one host that several listeners have, such as those of
// two gateways on one port: their rules are tried as if one listener had them all.
func Together(all []Placed) ([]*routev3.Route, []model.Problem) {
	var problems []model.Problem
	var specific, written, everything []candidate
	var holder *model.Routing
	for _, p := range byAge(all) {
		routes := translate(p.Context, p.routing, &problems)
		switch {
		case len(routes) == 0:
		case p.routing.BySpecificity:
			specific = append(specific, routes...)
		case holder != nil && p.At == model.Sidecars:
			problems = append(problems, p.routing.Problem("spec.hosts", "Conflict", fmt.Sprintf(
				"VirtualService %s/%s has HTTP rules for the same host and is older; sidecars follow it alone: merge the two, or delegate", holder.Namespace, holder.Name)))
		default:
			holder = p.routing
			for _, route := range routes {
				if route.everything {
					everything = append(everything, route)
				} else {
					written = append(written, route)
				}
			}
		}
	}
	slices.SortStableFunc(specific, bySpecificity)
	reached, hidden := reached(slices.Concat(specific, written, everything))
	var out []*routev3.Route
	for _, route := range reached {
		out = append(out, route.Route)
	}
	return out, once(append(problems, hidden...))
}

// placed is one routing where it holds.
type placed struct {
	Context
	routing *model.Routing
}

// byAge are all routings that hold, the oldest first wherever they hold.
func byAge(all []Placed) []placed {
	var out []placed
	for _, p := range all {
		for _, r := range p.bound(p.Routings) {
			out = append(out, placed{p.Context, r})
		}
	}
	if len(all) > 1 {
		slices.SortStableFunc(out, func(a, b placed) int { return a.routing.Older(b.routing.Origin) })
	}
	return out
}

// once leaves out problems that every match of a rule has.
func once(problems []model.Problem) []model.Problem {
	seen := map[model.Problem]bool{}
	return slices.DeleteFunc(problems, func(p model.Problem) bool {
		again := seen[p]
		seen[p] = true
		return again
	})
}

// candidate is a route, and what orders it among others.
type candidate struct {
	*routev3.Route
	specificity
	// everything: it has no condition but the caller.
	everything bool
	// routing that it is of.
	routing *model.Routing
}

// translate one routing's rules in their order. Rules of Istio's that come
// after one without conditions are never reached, and left out.
func translate(c Context, routing *model.Routing, problems *[]model.Problem) []candidate {
	var out []candidate
	for i := range routing.HTTP {
		r := rule{Context: c, HTTPRule: &routing.HTTP[i], routing: routing, index: i, problems: problems}
		matches := r.Matches
		if len(matches) == 0 {
			matches = []model.HTTPMatch{{}}
		}
		for j := range matches {
			m := &matches[j]
			if !c.holds(m.From, m.Port) {
				continue
			}
			match, ok := r.match(j, m)
			if !ok {
				continue
			}
			precedence := specificityOf(routing, i, j, m)
			for _, route := range r.routes(match, m) {
				all := catchesAll(route.GetMatch())
				out = append(out, candidate{Route: route, specificity: precedence, everything: all, routing: routing})
				if all && !routing.BySpecificity {
					return out
				}
			}
		}
	}
	return out
}
