// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"net"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// rewrite of a path, query and all, by one of Envoy's ways.
func rewrite(match *routev3.RouteMatch, path, prefix string, re *matcherv3.RegexMatchAndSubstitute) string {
	bare, query, asked := strings.Cut(path, "?")
	switch {
	case prefix != "":
		bare = prefix + bare[len(matched(match, bare)):]
	case re != nil:
		bare = substitute(re, bare)
	}
	if asked {
		return bare + "?" + query
	}
	return bare
}

// matched is the part of a path that a prefix replaces.
func matched(m *routev3.RouteMatch, path string) string {
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		return path[:len(p.Prefix)]
	case *routev3.RouteMatch_PathSeparatedPrefix:
		return path[:len(p.PathSeparatedPrefix)]
	}
	return path
}

// group is a reference to one in RE2's substitutions.
var group = regexp.MustCompile(`\\(\d|\\)`)

func substitute(re *matcherv3.RegexMatchAndSubstitute, s string) string {
	with := strings.ReplaceAll(re.GetSubstitution(), "$", "$$")
	with = group.ReplaceAllStringFunc(with, func(g string) string {
		if g[1] == '\\' {
			return `\`
		}
		return "${" + g[1:] + "}"
	})
	return regexp.MustCompile(re.GetPattern().GetRegex()).ReplaceAllString(s, with)
}

// location that a redirect answers with.
func location(r *routev3.Route, c Call) string {
	to := r.GetRedirect()
	scheme, _ := c.header(":scheme")
	host := c.Host
	switch s := to.GetSchemeRewriteSpecifier().(type) {
	case *routev3.RedirectAction_HttpsRedirect:
		host = withoutPort(host, scheme, "https")
		scheme = "https"
	case *routev3.RedirectAction_SchemeRedirect:
		host = withoutPort(host, scheme, s.SchemeRedirect)
		scheme = s.SchemeRedirect
	}
	if to.GetHostRedirect() != "" {
		host = to.GetHostRedirect()
	}
	if p := to.GetPortRedirect(); p != 0 {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = fmt.Sprintf("%s:%d", host, p)
	}
	path, _ := c.header(":path")
	switch p := to.GetPathRewriteSpecifier().(type) {
	case *routev3.RedirectAction_PathRedirect:
		if p.PathRedirect == "" {
			break // Envoy leaves the path as it is
		}
		_, query, asked := strings.Cut(path, "?")
		path = p.PathRedirect
		if asked && !strings.Contains(path, "?") {
			path += "?" + query
		}
	case *routev3.RedirectAction_PrefixRewrite:
		path = rewrite(r.GetMatch(), path, p.PrefixRewrite, nil)
	case *routev3.RedirectAction_RegexRewrite:
		path = rewrite(r.GetMatch(), path, "", p.RegexRewrite)
	}
	return scheme + "://" + host + path
}

// withoutPort takes the port away that is the old scheme's own, when the scheme changes.
func withoutPort(host, from, to string) string {
	h, port, err := net.SplitHostPort(host)
	if err == nil && (from == "http" && port == "80" && to == "https" || from == "https" && port == "443" && to == "http") {
		return h
	}
	return host
}

// statusOf a redirect.
func statusOf(c routev3.RedirectAction_RedirectResponseCode) int {
	return map[routev3.RedirectAction_RedirectResponseCode]int{
		routev3.RedirectAction_MOVED_PERMANENTLY: 301, routev3.RedirectAction_FOUND: 302, routev3.RedirectAction_SEE_OTHER: 303,
		routev3.RedirectAction_TEMPORARY_REDIRECT: 307, routev3.RedirectAction_PERMANENT_REDIRECT: 308,
	}[c]
}
