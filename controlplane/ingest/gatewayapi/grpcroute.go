// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"regexp"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func quoteRegex(s string) string { return regexp.QuoteMeta(s) }

func (x *index) grpcRoute(o *gateway.GRPCRoute) *route {
	r := &route{of: objectOf(kindGRPCRoute, o), origin: originOf(kindGRPCRoute, o), spec: &o.Spec.CommonRouteSpec, hosts: hostnames(o.Spec.Hostnames)}
	x.checkCommon(r)
	r.body = func(refs *references) body {
		b := &bodyBuilder{references: refs, of: r.of}
		for i := range o.Spec.Rules {
			b.grpc(i, &o.Spec.Rules[i])
		}
		return b.done(len(o.Spec.Rules))
	}
	return r
}

func (b *bodyBuilder) grpc(i int, spec *gateway.GRPCRouteRule) {
	at := fmt.Sprintf("spec.rules[%d]", i)
	rule := model.HTTPRule{Name: string(deref(spec.Name, ""))}
	for n := range spec.Matches {
		m, f := grpcMatch(&spec.Matches[n])
		if !f.none() {
			rule.Invalid = f.message
			b.drop(i, fault{f.reason, fmt.Sprintf("matches[%d].%s", n, f.message)})
			continue
		}
		rule.Matches = append(rule.Matches, m)
	}
	if len(rule.Matches) == 0 && rule.Invalid != "" {
		return
	}
	own := b.grpcFilters(at, spec.Filters)
	if !own.fault.none() {
		rule.Invalid = own.fault.message
		b.drop(i, own.fault)
	}
	own.onto(&rule)
	if own.invalid != "" {
		rule.Invalid = own.invalid
	}
	for n := range spec.BackendRefs {
		ref := &spec.BackendRefs[n]
		field := fmt.Sprintf("%s.backendRefs[%d]", at, n)
		d := b.destination(field, ref.BackendObjectReference, ref.Weight)
		of := b.grpcFilters(field, ref.Filters)
		d.Headers = of.headers
		switch {
		case !of.fault.none():
			d.Invalid = of.fault.message
			b.drop(i, of.fault)
		case of.invalid != "":
			d.Invalid = of.invalid
		case !of.onlyHeaders():
			d.Invalid = "a filter of a backendRef changes headers only"
			b.drop(i, faultf(gateway.RouteReasonUnsupportedValue, "%s.filters: only header modifiers are supported here; put others into the rule's filters.", field))
		}
		rule.Destinations = append(rule.Destinations, d)
	}
	b.sessions(at, spec.SessionPersistence)
	b.body.http = append(b.body.http, rule)
}
