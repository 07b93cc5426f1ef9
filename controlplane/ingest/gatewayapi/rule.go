// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// ruleBuilder gathers one rule of an HTTPRoute or a GRPCRoute.
type ruleBuilder struct {
	*bodyBuilder
	index int
	at    string
	rule  model.HTTPRule
}

func (b *bodyBuilder) begin(index int, name *gateway.SectionName) *ruleBuilder {
	return &ruleBuilder{
		bodyBuilder: b, index: index, at: fmt.Sprintf("spec.rules[%d]", index),
		rule: model.HTTPRule{Name: string(deref(name, ""))},
	}
}

// unsupported leaves the rule's requests without an answer, if there is a fault.
func (r *ruleBuilder) unsupported(f fault) {
	if !f.none() {
		r.rule.Invalid = f.message
		r.drop(r.index, f)
	}
}

// match adds what was read of the n-th match.
func (r *ruleBuilder) match(n int, m model.HTTPMatch, f fault) {
	if !f.none() {
		r.unsupported(fault{f.reason, fmt.Sprintf("matches[%d].%s", n, f.message)})
		return
	}
	r.rule.Matches = append(r.rule.Matches, m)
}

// meansNothing is true when no match could be read: the rule must not take over
// what its matches didn't mean.
func (r *ruleBuilder) meansNothing() bool { return len(r.rule.Matches) == 0 && r.rule.Invalid != "" }

// filtered sets what was read of the rule's own filters.
func (r *ruleBuilder) filtered(f *filters) {
	r.unsupported(f.fault)
	f.onto(&r.rule)
	if f.invalid != "" {
		r.rule.Invalid = f.invalid
	}
}

// backend adds the n-th backend; own reads its filters, which stand at a field.
func (r *ruleBuilder) backend(n int, ref gateway.BackendRef, own func(field string) *filters) {
	field := fmt.Sprintf("%s.backendRefs[%d]", r.at, n)
	d := r.destination(field, ref.BackendObjectReference, ref.Weight)
	of := own(field)
	d.Headers = of.headers
	switch {
	case !of.fault.none():
		d.Invalid = of.fault.message
		r.drop(r.index, of.fault)
	case of.invalid != "":
		d.Invalid = of.invalid
	case !of.onlyHeaders():
		d.Invalid = "a filter of a backendRef changes headers only"
		r.drop(r.index, faultf(gateway.RouteReasonUnsupportedValue, "%s.filters: only header modifiers are supported here; put others into the rule's filters.", field))
	}
	r.rule.Destinations = append(r.rule.Destinations, d)
}

// end puts the rule into the body.
func (r *ruleBuilder) end(s *gateway.SessionPersistence) {
	if s != nil {
		r.problem(r.of, r.at+".sessionPersistence", notSupported,
			"sessions are not kept on one backend by a route: use a DestinationRule with consistentHash.httpCookie on the Service")
	}
	r.body.http = append(r.body.http, r.rule)
}
