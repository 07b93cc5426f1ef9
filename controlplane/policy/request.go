// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"regexp"
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func header(name string, m *matcherv3.StringMatcher) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m}}
}

// host matches the request's host without regard to case. Read wide, a name
// also stands for itself with a port and with a trailing dot, which lead to the
// same place.
func host(value string, wide bool) *permission {
	t := parse(value)
	m := t.matcher(true)
	if m.GetSafeRegex() != nil {
		m.IgnoreCase = false
	} else if wide && t.kind != model.MatchPrefix && !hasPort(t.value) {
		m = expression("(?is)" + t.pattern(".*") + `\.?(?::[0-9]*)?`)
	}
	return &permission{Rule: &rbacv3.Permission_Header{Header: header(":authority", m)}}
}

func hasPort(host string) bool {
	i := strings.LastIndexByte(host, ':')
	return i >= 0 && !strings.Contains(host[i:], "]")
}

func method(value string) *permission {
	return &permission{Rule: &rbacv3.Permission_Header{Header: header(":method", parse(value).matcher(false))}}
}

// path matches the path without its query. A template's {*} is one segment,
// {**} any number of them.
func path(value string) *permission {
	m := parse(value).matcher(false)
	if strings.Contains(value, "{*}") || strings.Contains(value, "{**}") {
		m = expression(template(value))
	}
	return &permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{
		Rule: &matcherv3.PathMatcher_Path{Path: m},
	}}}
}

func template(value string) string {
	q := regexp.QuoteMeta(value)
	q = strings.ReplaceAll(q, regexp.QuoteMeta("{**}"), ".*")
	return "(?s)" + strings.ReplaceAll(q, regexp.QuoteMeta("{*}"), "[^/]+")
}

// requestHeader matches a header. Read wide, each of the values that commas
// join counts: senders may send several fields or one list, and proxies turn the one
// into the other.
func requestHeader(name, value string, wide bool) *principal {
	name = strings.ToLower(name)
	if name == "host" {
		name = ":authority"
	}
	t := parse(value)
	m := t.matcher(false)
	if wide && t.kind != model.MatchPresent && !strings.HasPrefix(name, ":") {
		m = expression(`(?s)(?:.*,)?[ \t]*` + t.pattern(".*") + `[ \t]*(?:,.*)?`)
	}
	return &principal{Identifier: &rbacv3.Principal_Header{Header: header(name, m)}}
}
