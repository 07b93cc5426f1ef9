// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// routes of one match of the rule: one, but for redirects that depend on
// whether the request names a port.
func (r rule) routes(match *routev3.RouteMatch, m *model.HTTPMatch) []*routev3.Route {
	route := &routev3.Route{
		Name:                 r.name(m),
		Match:                match,
		Metadata:             configured(r.routing.Origin),
		Decorator:            &routev3.Decorator{Operation: r.operation(m)},
		StatPrefix:           m.StatPrefix,
		TypedPerFilterConfig: map[string]*anypb.Any{},
	}
	h := r.changes("headers", r.Headers)
	h.write(route)
	r.cors(route)
	r.fault(route)
	switch {
	case r.Invalid != "":
		answer(route, statusInternal)
	case r.Redirect != nil:
		return r.redirect(route, m)
	case r.Direct != nil:
		r.direct(route)
	case !r.rewritable():
		answer(route, statusInternal)
	default:
		r.forward(route, m, h.authority)
	}
	return []*routev3.Route{route}
}

// answer with a status and nothing else.
func answer(route *routev3.Route, status uint32) {
	route.Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: status}}
}

// direct response of the rule.
func (r rule) direct(route *routev3.Route) {
	status := r.Direct.Status
	if status < 200 || status > 599 {
		r.tell("directResponse.status", "InvalidStatus", fmt.Sprintf("%d is no status of a final response: write one from 200 to 599", status))
		status = statusInternal
	}
	out := &routev3.DirectResponseAction{Status: status}
	switch n := len(r.Direct.Body); {
	case n > MaxBody:
		r.tell("directResponse.body", "TooLarge", fmt.Sprintf("the body has %d bytes; %d are the most, so none is sent", n, MaxBody))
	case n > 0:
		out.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: r.Direct.Body}}
	}
	route.Action = &routev3.Route_DirectResponse{DirectResponse: out}
}
