// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import gateway "sigs.k8s.io/gateway-api/apis/v1"

func (x *index) grpcRoute(o *gateway.GRPCRoute) *route {
	return x.route(kindGRPCRoute, o, &o.Spec.CommonRouteSpec, o.Spec.Hostnames, len(o.Spec.Rules),
		func(b *bodyBuilder, i int) { b.grpc(i, &o.Spec.Rules[i]) })
}

func (b *bodyBuilder) grpc(i int, spec *gateway.GRPCRouteRule) {
	r := b.begin(i, spec.Name)
	for n := range spec.Matches {
		m, f := grpcMatch(&spec.Matches[n])
		r.match(n, m, f)
	}
	if r.meansNothing() {
		return
	}
	r.filtered(b.grpcFilters(r.at, spec.Filters))
	for n := range spec.BackendRefs {
		ref := &spec.BackendRefs[n]
		r.backend(n, ref.BackendRef, func(field string) *filters { return b.grpcFilters(field, ref.Filters) })
	}
	r.end(spec.SessionPersistence)
}
