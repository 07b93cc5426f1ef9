// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// kindIngress is Kubernetes' own: its rules are sorted into routings by host.
const kindIngress = "Ingress"

// reached are the routes, in the order in which they are tried, without those
// that no request gets to because another object's route takes them all before;
// these have a Problem. Within one object that is its author's own matter, which
// ingest tells.
func reached(routes []candidate) ([]candidate, []model.Problem) {
	if !several(routes) {
		return routes, nil
	}
	seen := map[string]*model.Routing{}
	// prefixes are those of routes that ask for nothing else.
	prefixes := map[string]*model.Routing{}
	var out []candidate
	var problems []model.Problem
	for _, c := range routes {
		key := matched(c.GetMatch())
		by := seen[key]
		if by == nil {
			by = beforePath(c.GetMatch(), prefixes)
		}
		switch {
		case by == nil:
			seen[key] = c.routing
			if p := c.GetMatch().GetPrefix(); p != "" && onlyPath(c.GetMatch()) {
				prefixes[p] = c.routing
			}
		case by.Origin != c.routing.Origin:
			why := "goes before it"
			if by.Older(c.routing.Origin) < 0 {
				why = "is older"
			}
			problems = append(problems, c.routing.Problem(c.where(), "Conflict", fmt.Sprintf(
				"no request reaches %s: %s %s/%s, which %s, has a rule for the same host that takes all of them; change the match, or merge the two",
				c.what(), by.Kind, by.Namespace, by.Name, why)))
			continue
		}
		out = append(out, c)
	}
	return out, problems
}

// several is true for routes of more than one object.
func several(routes []candidate) bool {
	return slices.ContainsFunc(routes, func(c candidate) bool { return c.routing.Origin != routes[0].routing.Origin })
}

// matched is what a match asks for.
func matched(m *routev3.RouteMatch) string {
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return string(b)
}

// onlyPath is true for a match that asks for nothing but a path.
func onlyPath(m *routev3.RouteMatch) bool {
	return len(m.GetHeaders())+len(m.GetQueryParameters())+len(m.GetDynamicMetadata()) == 0 && m.GetCaseSensitive() == nil
}

// beforePath is whose prefix takes every path of a match.
func beforePath(m *routev3.RouteMatch, prefixes map[string]*model.Routing) *model.Routing {
	if len(prefixes) == 0 {
		return nil
	}
	var path string
	switch s := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Path:
		path = s.Path
	case *routev3.RouteMatch_Prefix:
		path = s.Prefix
	case *routev3.RouteMatch_PathSeparatedPrefix:
		path = s.PathSeparatedPrefix
	case *routev3.RouteMatch_SafeRegex:
		path = "/" // every path begins so
	}
	if m.GetCaseSensitive() != nil && len(path) > 1 {
		path = path[:1] // the rest may be written in many ways
	}
	for i := 1; i <= len(path); i++ {
		if by := prefixes[path[:i]]; by != nil {
			return by
		}
	}
	return nil
}

// what a route is called where its field doesn't say it.
func (c candidate) what() string {
	if c.routing.Kind != kindIngress {
		return "it"
	}
	path := "/"
	if matches := c.routing.HTTP[c.rule].Matches; len(matches) > 0 {
		path = matches[c.match].Path.Value
	}
	return fmt.Sprintf("path %q of host %q", path, c.routing.Hosts[0])
}

// where a route is in its object.
func (c candidate) where() string {
	switch {
	case c.routing.Kind == kindIngress:
		return "spec.rules" // whose places the routing doesn't tell
	case c.routing.BySpecificity:
		return fmt.Sprintf("spec.rules[%d].matches[%d]", c.rule, c.match)
	case len(c.routing.HTTP[c.rule].Matches) == 0:
		return fmt.Sprintf("spec.http[%d]", c.rule)
	}
	return fmt.Sprintf("spec.http[%d].match[%d]", c.rule, c.match)
}
