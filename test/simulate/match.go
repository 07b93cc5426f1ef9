// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// Route is the route of a virtual host that takes a request: the first whose
// match holds; nil when none does.
func Route(host *routev3.VirtualHost, c Call) *routev3.Route {
	for _, r := range host.GetRoutes() {
		if matches(r.GetMatch(), c) {
			return r
		}
	}
	return nil
}

func matches(m *routev3.RouteMatch, c Call) bool {
	path, query := c.path()
	if !matchesPath(m, path) {
		return false
	}
	// A share of nothing is for nobody, until the runtime says otherwise.
	if f := m.GetRuntimeFraction(); f != nil && f.GetDefaultValue().GetNumerator() == 0 {
		return false
	}
	for _, h := range m.GetHeaders() {
		if !matchesHeader(h, c) {
			return false
		}
	}
	for _, q := range m.GetQueryParameters() {
		value, ok := parameter(query, q.GetName())
		if !ok {
			return false
		}
		if s := q.GetStringMatch(); s != nil && !matchesText(s, value) {
			return false
		}
	}
	return true
}

// matchesPath compares the path without the query.
func matchesPath(m *routev3.RouteMatch, path string) bool {
	fold := func(s string) string {
		if m.GetCaseSensitive() != nil && !m.GetCaseSensitive().GetValue() {
			return strings.ToLower(s)
		}
		return s
	}
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		return strings.HasPrefix(fold(path), fold(p.Prefix))
	case *routev3.RouteMatch_Path:
		return fold(path) == fold(p.Path)
	case *routev3.RouteMatch_PathSeparatedPrefix:
		rest, ok := strings.CutPrefix(fold(path), fold(p.PathSeparatedPrefix))
		return ok && (rest == "" || rest[0] == '/')
	case *routev3.RouteMatch_SafeRegex:
		return full(p.SafeRegex).MatchString(path)
	}
	return false
}

// matchesHeader: a header that is absent matches nothing, inverted or not,
// unless its absence is asked for, or counts as empty.
func matchesHeader(m *routev3.HeaderMatcher, c Call) bool {
	value, ok := c.header(m.GetName())
	if p, asked := m.GetHeaderMatchSpecifier().(*routev3.HeaderMatcher_PresentMatch); asked {
		return (ok == p.PresentMatch) != m.GetInvertMatch()
	}
	if !ok && !m.GetTreatMissingHeaderAsEmpty() {
		return false
	}
	return matchesText(m.GetStringMatch(), value) != m.GetInvertMatch()
}

func matchesText(m *matcherv3.StringMatcher, value string) bool {
	fold := func(s string) string {
		if m.GetIgnoreCase() {
			return strings.ToLower(s)
		}
		return s
	}
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return fold(value) == fold(p.Exact)
	case *matcherv3.StringMatcher_Prefix:
		return strings.HasPrefix(fold(value), fold(p.Prefix))
	case *matcherv3.StringMatcher_Suffix:
		return strings.HasSuffix(fold(value), fold(p.Suffix))
	case *matcherv3.StringMatcher_Contains:
		return strings.Contains(fold(value), fold(p.Contains))
	case *matcherv3.StringMatcher_SafeRegex:
		return full(p.SafeRegex).MatchString(value)
	}
	return false
}

// full matches the whole of a value, as Envoy does.
func full(m *matcherv3.RegexMatcher) *regexp.Regexp {
	return regexp.MustCompile(`\A(?:` + m.GetRegex() + `)\z`)
}

// path and query of the call.
func (c Call) path() (path, query string) {
	path = c.Path
	if path == "" {
		path = "/"
	}
	path, _, _ = strings.Cut(path, "#")
	path, query, _ = strings.Cut(path, "?")
	return path, query
}

// header of the call, the pseudo headers too.
func (c Call) header(name string) (string, bool) {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	switch name = strings.ToLower(name); name {
	case ":authority", "host":
		return c.Host, true
	case ":method":
		return or(c.Method, "GET"), true
	case ":scheme":
		return or(c.Scheme, "http"), true
	case ":path":
		return or(c.Path, "/"), true
	}
	for k, v := range c.Headers {
		if strings.ToLower(k) == name {
			return v, true
		}
	}
	return "", false
}

// parameter of a query: the first of its name, as it is written.
func parameter(query, name string) (string, bool) {
	for pair := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		if k == name && pair != "" {
			return v, true
		}
	}
	return "", false
}
