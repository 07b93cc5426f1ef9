// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"slices"
	"strings"
	"time"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func (x *index) httpRoute(o *gateway.HTTPRoute) *route {
	r := &route{of: objectOf(kindHTTPRoute, o), origin: originOf(kindHTTPRoute, o), spec: &o.Spec.CommonRouteSpec, hosts: hostnames(o.Spec.Hostnames)}
	x.checkCommon(r)
	r.body = func(refs *references) body {
		b := &bodyBuilder{references: refs, of: r.of}
		for i := range o.Spec.Rules {
			b.http(i, &o.Spec.Rules[i])
		}
		return b.done(len(o.Spec.Rules))
	}
	return r
}

// checkCommon tells what has no effect on any kind of route.
func (x *index) checkCommon(r *route) {
	if r.spec.UseDefaultGateways != "" && r.spec.UseDefaultGateways != gateway.GatewayDefaultScopeNone {
		x.problem(r.of, "spec.useDefaultGateways", notSupported, "no Gateway is a default one: name parents in spec.parentRefs")
	}
}

func hostnames(all []gateway.Hostname) []string {
	var out []string
	for _, h := range all {
		out = append(out, strings.ToLower(string(h)))
	}
	return out
}

// bodyBuilder gathers the rules of one route and their faults.
type bodyBuilder struct {
	*references
	of Object
	body
	// dropped rules, by index.
	drops []int
}

// drop leaves a rule's requests without an answer but 500, because of a value
// in it that can't be honoured.
func (b *bodyBuilder) drop(rule int, f fault) {
	b.drops = append(b.drops, rule)
	b.dropped.first(fault{f.reason, fmt.Sprintf("rules[%d]: %s", rule, f.message)})
}

// done is the body. With no rule left the route isn't accepted at all.
func (b *bodyBuilder) done(rules int) body {
	out := b.body
	out.refs, out.backends = b.references.refs, b.references.backends
	if n := len(slices.Compact(b.drops)); n > 0 && n >= rules {
		out.accept, out.dropped = b.dropped, fault{}
	} else if n > 0 {
		out.dropped = faultf(gateway.RouteReasonUnsupportedValue, "Dropped Rule: %s", b.dropped.message)
	}
	return out
}

func (b *bodyBuilder) http(i int, spec *gateway.HTTPRouteRule) {
	at := fmt.Sprintf("spec.rules[%d]", i)
	rule := model.HTTPRule{Name: string(deref(spec.Name, ""))}
	unsupported := func(f fault) {
		rule.Invalid = f.message
		b.drop(i, f)
	}
	for n := range spec.Matches {
		m, f := httpMatch(&spec.Matches[n])
		if !f.none() {
			unsupported(fault{f.reason, fmt.Sprintf("matches[%d].%s", n, f.message)})
			continue
		}
		rule.Matches = append(rule.Matches, m)
	}
	if len(rule.Matches) == 0 && rule.Invalid != "" {
		// The rule must not take over what its matches didn't mean.
		return
	}
	filters := b.httpFilters(at, spec.Filters)
	if !filters.fault.none() {
		unsupported(filters.fault)
	}
	filters.onto(&rule)
	if filters.invalid != "" {
		rule.Invalid = filters.invalid
	}
	for n := range spec.BackendRefs {
		ref := &spec.BackendRefs[n]
		field := fmt.Sprintf("%s.backendRefs[%d]", at, n)
		d := b.destination(field, ref.BackendObjectReference, ref.Weight)
		own := b.httpFilters(field, ref.Filters)
		d.Headers = own.headers
		switch {
		case !own.fault.none():
			d.Invalid = own.fault.message
			b.drop(i, own.fault)
		case own.invalid != "":
			d.Invalid = own.invalid
		case !own.onlyHeaders():
			d.Invalid = "a filter of a backendRef changes headers only"
			b.drop(i, faultf(gateway.RouteReasonUnsupportedValue, "%s.filters: only header modifiers are supported here; put others into the rule's filters.", field))
		}
		rule.Destinations = append(rule.Destinations, d)
	}
	if f := timeouts(&rule, spec.Timeouts); !f.none() {
		unsupported(f)
	}
	if f := retries(&rule, spec.Retry); !f.none() {
		unsupported(f)
	}
	b.sessions(at, spec.SessionPersistence)
	if rule.Redirect != nil {
		rule.Destinations = nil
	}
	b.body.http = append(b.body.http, rule)
}

func (b *bodyBuilder) sessions(at string, s *gateway.SessionPersistence) {
	if s != nil {
		b.problem(b.of, at+".sessionPersistence", notSupported,
			"sessions are not kept on one backend by a route: use a DestinationRule with consistentHash.httpCookie on the Service")
	}
}

// duration of the Gateway API (GEP-2257), which is a part of Go's. Zero means no limit.
func duration(d gateway.Duration) (time.Duration, fault) {
	v, err := time.ParseDuration(string(d))
	if err != nil || v < 0 {
		return 0, faultf(gateway.RouteReasonUnsupportedValue, "%q is not a duration: write it like 1h, 10s or 500ms.", d)
	}
	return v, fault{}
}

func timeouts(rule *model.HTTPRule, t *gateway.HTTPRouteTimeouts) fault {
	if t == nil {
		return fault{}
	}
	if t.Request != nil {
		v, f := duration(*t.Request)
		if !f.none() {
			return fault{f.reason, "timeouts.request: " + f.message}
		}
		rule.Timeout = &v
	}
	if t.BackendRequest != nil {
		v, f := duration(*t.BackendRequest)
		if !f.none() {
			return fault{f.reason, "timeouts.backendRequest: " + f.message}
		}
		rule.BackendTimeout = &v
	}
	return fault{}
}

// retryOn are the failures to reach a backend, or to get an answer in time,
// that every retry of the Gateway API is also for (GEP-1731).
func retryOn() []string {
	return []string{"connect-failure", "refused-stream", "reset", "retriable-status-codes"}
}

func retries(rule *model.HTTPRule, r *gateway.HTTPRouteRetry) fault {
	if r == nil {
		return fault{}
	}
	out := &model.Retries{MeshAttempts: r.Attempts == nil, On: retryOn()}
	if r.Attempts != nil {
		out.Attempts = uint32(max(*r.Attempts, 0))
	}
	for _, c := range r.Codes {
		out.Statuses = append(out.Statuses, uint32(max(c, 0)))
	}
	slices.Sort(out.Statuses)
	if r.Backoff != nil {
		v, f := duration(*r.Backoff)
		if !f.none() {
			return fault{f.reason, "retry.backoff: " + f.message}
		}
		out.Backoff = &v
	}
	rule.Retries = out
	return fault{}
}
