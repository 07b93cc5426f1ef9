// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func (x *index) httpRoute(o *gateway.HTTPRoute) *route {
	return x.route(kindHTTPRoute, o, &o.Spec.CommonRouteSpec, o.Spec.Hostnames, len(o.Spec.Rules),
		func(b *bodyBuilder, i int) { b.http(i, &o.Spec.Rules[i]) })
}

// route reads what routes of all kinds have; its n rules are read one by one,
// for each kind of parent.
func (x *index) route(kind string, o metav1.Object, spec *gateway.CommonRouteSpec, hosts []gateway.Hostname, n int, rule func(*bodyBuilder, int)) *route {
	r := &route{of: objectOf(kind, o), origin: originOf(kind, o), spec: spec, hosts: hostnames(hosts)}
	x.checkCommon(r)
	r.body = func(refs *references) body {
		b := &bodyBuilder{references: refs, of: r.of}
		for i := range n {
			rule(b, i)
		}
		return b.done(n)
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
	r := b.begin(i, spec.Name)
	for n := range spec.Matches {
		m, f := httpMatch(&spec.Matches[n])
		r.match(n, m, f)
	}
	if r.meansNothing() {
		return
	}
	r.filtered(b.httpFilters(r.at, spec.Filters))
	for n := range spec.BackendRefs {
		ref := &spec.BackendRefs[n]
		r.backend(n, ref.BackendRef, func(field string) *filters { return b.httpFilters(field, ref.Filters) })
	}
	r.unsupported(timeouts(&r.rule, spec.Timeouts))
	r.unsupported(retries(&r.rule, spec.Retry))
	if r.rule.Redirect != nil {
		r.rule.Destinations = nil
	}
	r.end(spec.SessionPersistence)
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
