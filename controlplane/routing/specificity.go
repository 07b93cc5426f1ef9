// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"cmp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// specificity is what the Gateway API orders matches by (HTTPRouteRule.matches,
// GRPCRouteRule.matches).
type specificity struct {
	path, length   int
	method         bool
	headers, query int
	origin         model.Origin
	rule, match    int
}

// Ranks of paths. The Gateway API leaves the place of regular expressions open:
// they come before prefixes, since a prefix "/" would hide them all.
const (
	noPath = iota
	// methodPath is a gRPC method of any service: the service's name counts first.
	methodPath
	prefixPath
	regexPath
	exactPath
)

func specificityOf(r *model.Routing, rule, match int, m *model.HTTPMatch) specificity {
	s := specificity{
		length: len(m.Path.Value), method: m.Method.Kind != model.MatchAny,
		headers: len(m.Headers), query: len(m.Query), origin: r.Origin, rule: rule, match: match,
	}
	switch m.Path.Kind {
	case model.MatchExact:
		s.path = exactPath
	case model.MatchPrefix, model.MatchPathPrefix:
		s.path = prefixPath
		// "/foo/" and "/foo" match the same.
		s.length = len(strings.TrimRight(m.Path.Value, "/"))
	case model.MatchRegex, model.MatchTemplate:
		s.path = regexPath
		if r.Kind == "GRPCRoute" {
			s.path = methodPath
		}
	case model.MatchSuffix:
		s.path = methodPath
	}
	if s.length == 0 {
		s.path = noPath
	}
	return s
}

// bySpecificity orders the most specific first. Of equals the oldest route goes
// first, then the first by name, then the first rule.
func bySpecificity(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(b.path, a.path),
		cmp.Compare(b.length, a.length),
		first(a.method, b.method),
		cmp.Compare(b.headers, a.headers),
		cmp.Compare(b.query, a.query),
		a.origin.Older(b.origin),
		cmp.Compare(a.rule, b.rule),
		cmp.Compare(a.match, b.match),
	)
}

// first orders true before false.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// catchesAll is true for a match without any condition.
func catchesAll(m *routev3.RouteMatch) bool {
	return m.GetPrefix() == "/" && len(m.GetHeaders()) == 0 && len(m.GetQueryParameters()) == 0 && len(m.GetDynamicMetadata()) == 0
}
