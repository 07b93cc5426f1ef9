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

// HTTP turns the HTTP rules of routings on one host into routes in the order in
// which Envoy is to try them. The routings are those whose hosts fit best, the
// oldest first. It returns no routes when no rule holds for the caller: the
// virtual host is then what it would be without routings. Otherwise requests
// that match none get 404 from Envoy. Routes share parts; they are read only.
//
// At a gateway the rules of several VirtualServices on one host are tried one
// VirtualService after the other, those without any condition last. At sidecars
// the oldest one alone holds, and the others have a problem.
func HTTP(c Context, routings []*model.Routing) ([]*routev3.Route, []model.Problem) {
	var problems []model.Problem
	var specific, written, everything []candidate
	var holder *model.Routing
	for _, r := range c.bound(routings) {
		routes := translate(c, r, &problems)
		switch {
		case len(routes) == 0:
		case r.BySpecificity:
			specific = append(specific, routes...)
		case holder != nil && c.At == model.Sidecars:
			problems = append(problems, r.Problem("spec.hosts", "Conflict", fmt.Sprintf(
				"VirtualService %s/%s has HTTP rules for the same host and is older; sidecars follow it alone: merge the two, or delegate", holder.Namespace, holder.Name)))
		default:
			holder = r
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
	var out []*routev3.Route
	for _, list := range [][]candidate{specific, written, everything} {
		for _, route := range list {
			out = append(out, route.Route)
		}
	}
	return out, once(problems)
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
				out = append(out, candidate{Route: route, specificity: precedence, everything: all})
				if all && !routing.BySpecificity {
					return out
				}
			}
		}
	}
	return out
}
