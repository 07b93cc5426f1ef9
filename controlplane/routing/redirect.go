// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// redirects are the statuses that Envoy has for them.
var redirects = map[uint32]routev3.RedirectAction_RedirectResponseCode{
	statusMovedPermanently:  routev3.RedirectAction_MOVED_PERMANENTLY,
	statusFound:             routev3.RedirectAction_FOUND,
	statusSeeOther:          routev3.RedirectAction_SEE_OTHER,
	statusTemporaryRedirect: routev3.RedirectAction_TEMPORARY_REDIRECT,
	statusPermanentRedirect: routev3.RedirectAction_PERMANENT_REDIRECT,
}

// wellKnown ports of schemes, which a Location doesn't name.
var wellKnown = map[string]uint16{"http": 80, "https": 443}

// redirect answers with a Location. Where it keeps the request's host, and the
// port is to be the scheme's own, Envoy can't take a port away that the request
// names: then requests that name one get a route of their own, with the port.
func (r rule) redirect(route *routev3.Route, m *model.HTTPMatch) []*routev3.Route {
	to := r.Redirect
	status := to.Status
	if status == 0 {
		status = statusMovedPermanently
	}
	code, ok := redirects[status]
	if !ok || !envoy.ValidValue(to.Host) || !envoy.ValidValue(to.Scheme) {
		r.tell("redirect", "InvalidRedirect", fmt.Sprintf("status %d, scheme %q or host %q can't be: the status is 301, 302, 303, 307 or 308", status, to.Scheme, to.Host))
		answer(route, statusInternal)
		return []*routev3.Route{route}
	}
	out := &routev3.RedirectAction{HostRedirect: to.Host, ResponseCode: code}
	if to.Scheme != "" {
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: to.Scheme}
	}
	switch {
	case to.Path != nil && envoy.ValidValue(*to.Path):
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: *to.Path}
	case to.PrefixPath != nil && envoy.ValidValue(*to.PrefixPath):
		prefix, re := r.prefixRewrite(m, *to.PrefixPath)
		if re != nil {
			out.PathRewriteSpecifier = &routev3.RedirectAction_RegexRewrite{RegexRewrite: re}
		} else {
			out.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: prefix}
		}
	}
	route.Action = &routev3.Route_Redirect{Redirect: out}

	usual := wellKnown[r.scheme()]
	port := to.Port
	switch {
	case port == 0 && to.KeepPort:
		port = r.Port
	case port == 0 && to.PortFromScheme:
		port = usual
	}
	switch {
	case port == 0 || port == usual && to.Host != "":
		return []*routev3.Route{route}
	case port != usual:
		out.PortRedirect = uint32(port)
		return []*routev3.Route{route}
	}
	named := proto.CloneOf(route)
	named.GetRedirect().PortRedirect = uint32(port)
	named.Match.Headers = append(slices.Clone(named.GetMatch().GetHeaders()), &routev3.HeaderMatcher{
		Name: ":authority",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex(".*:[0-9]+")},
		}},
	})
	return []*routev3.Route{named, route}
}

// scheme of the Location.
func (r rule) scheme() string {
	switch {
	case r.Redirect.Scheme != "":
		return r.Redirect.Scheme
	case r.TLS:
		return "https"
	default:
		return "http"
	}
}
