// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"math"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// nowhere is the cluster of destinations that are not to be followed. No proxy
// has one of this name.
const nowhere = "isthmesh-invalid-destination"

// share is a destination that gets requests.
type share struct {
	Cluster
	*model.Destination
	index  int
	weight uint32
}

// shares of the rule's destinations that get something. One alone gets all, but
// in the Gateway API, where a weight of 0 is always meant.
func shares(c Context, destinations []model.Destination, gatewayAPI bool, missing func(i int, d model.Destination)) []share {
	var out []share
	total := uint64(0)
	for i := range destinations {
		d := &destinations[i]
		weight := d.Weight
		if len(destinations) == 1 && !gatewayAPI {
			weight = 1
		}
		if weight == 0 {
			continue
		}
		s := share{Destination: d, index: i, weight: weight}
		var ok bool
		switch s.Cluster, ok = c.Cluster(*d); {
		case d.Invalid != "":
			s.Cluster = Cluster{Name: nowhere}
		case !ok:
			s.Cluster = Cluster{Name: clusterName(c.port(*d), d.Subset, d.Host)}
			missing(i, *d)
		}
		total += uint64(weight)
		out = append(out, s)
	}
	// Envoy adds weights up in 32 bits.
	for total > math.MaxUint32 {
		total = 0
		for i := range out {
			out[i].weight = max(out[i].weight/2, 1)
			total += uint64(out[i].weight)
		}
	}
	return out
}

// unknown says what a destination that nobody knows means.
func unknown(d model.Destination, so string) string {
	what := fmt.Sprintf("host %q", d.Host)
	if d.Port != 0 {
		what += fmt.Sprintf(" with port %d", d.Port)
	}
	if d.Subset != "" {
		what = fmt.Sprintf("subset %q of ", d.Subset) + what
	}
	return what + " is not known where the rule holds, so " + so + ": create it, export it to its callers, or mend the name"
}

// clusterName as Envoy would know a destination, had it one.
func clusterName(port uint16, subset string, host model.Hostname) string {
	return fmt.Sprintf("outbound|%d|%s|%s", port, subset, host)
}

// forward to the rule's destinations. authority is set by the rule's headers.
func (r rule) forward(route *routev3.Route, m *model.HTTPMatch, authority string) {
	to := shares(r.Context, r.Destinations, r.routing.BySpecificity, func(i int, d model.Destination) {
		if !r.routing.BySpecificity {
			r.tell(r.destinationField(i), "UnknownDestination", unknown(d, "its requests get 503"))
		}
	})
	switch {
	case len(to) == 0 && !r.routing.BySpecificity && len(r.Destinations) > 0:
		answer(route, statusUnavailable)
		return
	case len(to) == 0 || len(to) == 1 && to[0].Invalid != "":
		answer(route, statusInternal)
		return
	}
	action := &routev3.RouteAction{RequestMirrorPolicies: r.mirrors()}
	if r.routing.BySpecificity {
		action.ClusterNotFoundResponseCode = routev3.RouteAction_INTERNAL_SERVER_ERROR
	}
	r.timeout(action)
	r.retry(action)
	r.rewrite(action, m)
	if authority == "" && r.Rewrite != nil && r.authority(r.Rewrite.Authority) {
		authority = r.Rewrite.Authority
	}
	if authority != "" {
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: authority}
	}
	if len(to) == 1 {
		r.one(route, action, to[0])
	} else {
		r.several(action, to, authority != "")
	}
	for _, s := range to {
		for _, h := range s.Hash {
			action.HashPolicy = appendOnce(action.HashPolicy, h)
		}
		if s.ForeignTLS {
			route.TypedPerFilterConfig[offerFilter] = disabled
		}
	}
	route.Action = &routev3.Route_Route{Route: action}
}

// one destination gets everything; its headers are the route's, too.
func (r rule) one(route *routev3.Route, action *routev3.RouteAction, to share) {
	action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: to.Cluster.Name}
	h := r.changes(fmt.Sprintf("route[%d].headers", to.index), to.Destination.Headers)
	route.RequestHeadersToAdd = append(route.RequestHeadersToAdd, h.add...)
	route.RequestHeadersToRemove = append(route.RequestHeadersToRemove, h.remove...)
	route.ResponseHeadersToAdd = append(route.ResponseHeadersToAdd, h.answerAdd...)
	route.ResponseHeadersToRemove = append(route.ResponseHeadersToRemove, h.answerRemove...)
	switch {
	case h.authority != "":
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: h.authority}
	case action.HostRewriteSpecifier != nil:
	case to.AuthorityRewrite != "":
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: to.AuthorityRewrite}
	case to.AutoHostRewrite:
		action.HostRewriteSpecifier = &routev3.RouteAction_AutoHostRewrite{AutoHostRewrite: wrapperspb.Bool(true)}
	}
}

// several destinations share the requests by weight.
func (r rule) several(action *routev3.RouteAction, to []share, rewritten bool) {
	clusters := &routev3.WeightedCluster{}
	for _, s := range to {
		h := r.changes(fmt.Sprintf("route[%d].headers", s.index), s.Destination.Headers)
		w := &routev3.WeightedCluster_ClusterWeight{
			Name: s.Cluster.Name, Weight: wrapperspb.UInt32(s.weight),
			RequestHeadersToAdd: h.add, RequestHeadersToRemove: h.remove,
			ResponseHeadersToAdd: h.answerAdd, ResponseHeadersToRemove: h.answerRemove,
		}
		authority := h.authority
		if authority == "" && !rewritten {
			authority = s.AuthorityRewrite
		}
		if authority != "" {
			w.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: authority}
		} else if s.AutoHostRewrite && action.HostRewriteSpecifier == nil {
			// Harmless for the others: Envoy does it for names that DNS resolved only.
			action.HostRewriteSpecifier = &routev3.RouteAction_AutoHostRewrite{AutoHostRewrite: wrapperspb.Bool(true)}
		}
		clusters.Clusters = append(clusters.Clusters, w)
	}
	action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: clusters}
}

// timeout of the whole request; without one requests may last as long as they
// like. Where a route says how long streams may last, Envoy doesn't look at its
// timeout: so it says one or the other.
func (r rule) timeout(action *routev3.RouteAction) {
	if r.Timeout != nil && *r.Timeout > 0 {
		action.Timeout = durationpb.New(*r.Timeout)
		return
	}
	action.Timeout = durationpb.New(0)
	action.MaxStreamDuration = &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: durationpb.New(0), GrpcTimeoutHeaderMax: durationpb.New(0)}
}

func appendOnce(list []*routev3.RouteAction_HashPolicy, one *routev3.RouteAction_HashPolicy) []*routev3.RouteAction_HashPolicy {
	for _, have := range list {
		if proto.Equal(have, one) {
			return list
		}
	}
	return append(list, one)
}
