// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"cmp"
	"slices"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Build makes the Gateway API's part of a mesh. Prev is the last output, or
// nil; it decides which pointers are shared, never what the output says.
func Build(in Input, prev *Output) *Output {
	if prev == nil {
		prev = &Output{Statuses: &Statuses{}}
	}
	if in.Settings == nil {
		in.Settings = &model.Settings{DomainSuffix: "cluster.local"}
	}
	return share(prev, build(&in))
}

func build(in *Input) *Output {
	x := newIndex(in)
	out := &Output{Statuses: &Statuses{}}
	accepted, classes := x.classes()
	out.Statuses.Classes = classes
	p := &parents{index: x, gateways: map[name]*gatewayState{}, sets: map[name]*setState{}, served: map[name]map[Object]bool{}}
	var gateways []*gatewayState
	for _, o := range in.Gateways {
		ours, known := accepted[string(o.Spec.GatewayClassName)]
		if !known || !x.inRevision(o) {
			continue
		}
		g := x.newGateway(o)
		if !ours {
			g.accept = faultf(gateway.GatewayReasonInvalidParameters, "GatewayClass %s is not accepted: see its conditions.", o.Spec.GatewayClassName)
		}
		x.checkAnnotations(g)
		gateways = append(gateways, g)
		p.gateways[nameOf(o)] = g
	}
	slices.SortFunc(gateways, func(a, b *gatewayState) int { return compareObjects(a.of, b.of) })
	sets := x.newSets(p.gateways)
	for _, g := range gateways {
		x.finish(g)
		sets = append(sets, g.sets...)
	}
	for _, s := range sets {
		p.sets[nameOf(s.object)] = s
	}
	for _, r := range x.routes() {
		out.Statuses.Routes = append(out.Statuses.Routes, p.attach(r))
	}
	out.Policies, out.Statuses.Policies = p.backendTLS()
	for _, g := range gateways {
		if m := g.model(x); m != nil {
			out.Gateways = append(out.Gateways, m)
		}
		out.Statuses.Gateways = append(out.Statuses.Gateways, g.status())
	}
	for _, s := range sets {
		out.Statuses.ListenerSets = append(out.Statuses.ListenerSets, s.status())
	}
	out.Routings = p.routings
	out.References = sortedReferences(x.references)
	out.Problems = append(x.problems, out.Statuses.problems()...)
	out.sort()
	return out
}

// routes of all kinds.
func (x *index) routes() []*route {
	var all []*route
	for _, o := range x.in.HTTPRoutes {
		all = append(all, x.httpRoute(o))
	}
	for _, o := range x.in.GRPCRoutes {
		all = append(all, x.grpcRoute(o))
	}
	for _, o := range x.in.TLSRoutes {
		all = append(all, x.tlsRoute(o))
	}
	for _, o := range x.in.TCPRoutes {
		all = append(all, x.tcpRoute(o))
	}
	for _, o := range x.in.UDPRoutes {
		all = append(all, x.udpRoute(o))
	}
	slices.SortFunc(all, func(a, b *route) int { return compareObjects(a.of, b.of) })
	return all
}

// sort everything by age or by name, so that the order of the input means nothing.
func (o *Output) sort() {
	slices.SortStableFunc(o.Gateways, func(a, b *model.Gateway) int { return a.Older(b.Origin) })
	slices.SortStableFunc(o.Routings, func(a, b *model.Routing) int { return a.Older(b.Origin) })
	slices.SortStableFunc(o.Policies, func(a, b *model.DestinationPolicy) int { return a.Older(b.Origin) })
	slices.SortFunc(o.Statuses.ListenerSets, func(a, b *ListenerSetStatus) int { return compareObjects(a.Object, b.Object) })
	slices.SortFunc(o.Statuses.Policies, func(a, b *PolicyStatus) int { return compareObjects(a.Object, b.Object) })
	slices.SortStableFunc(o.Problems, func(a, b model.Problem) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), strings.Compare(a.Kind, b.Kind),
			strings.Compare(a.Field, b.Field), strings.Compare(a.Reason, b.Reason), strings.Compare(a.Message, b.Message))
	})
	o.Problems = slices.Compact(o.Problems)
}

func sortedReferences(set map[model.CredentialRef]bool) []model.CredentialRef {
	all := make([]model.CredentialRef, 0, len(set))
	seen := map[model.CredentialRef]bool{}
	for r := range set {
		plain := model.CredentialRef{Namespace: r.Namespace, Name: r.Name, ConfigMap: r.ConfigMap}
		if !seen[plain] {
			seen[plain] = true
			all = append(all, plain)
		}
	}
	slices.SortFunc(all, func(a, b model.CredentialRef) int {
		if c := compareNames(name{a.Namespace, a.Name}, name{b.Namespace, b.Name}); c != 0 {
			return c
		}
		switch {
		case a.ConfigMap == b.ConfigMap:
			return 0
		case b.ConfigMap:
			return -1
		}
		return 1
	})
	return all
}

// share keeps the pointers of what did not change.
func share(prev, now *Output) *Output {
	now.Gateways = keep.Share(prev.Gateways, now.Gateways)
	now.Routings = keep.Share(prev.Routings, now.Routings)
	now.Policies = keep.Share(prev.Policies, now.Policies)
	now.References = keep.Slice(prev.References, now.References)
	now.Problems = keep.Slice(prev.Problems, now.Problems)
	return now
}
