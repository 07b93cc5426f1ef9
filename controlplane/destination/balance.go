// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"fmt"
	"math/big"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Envoy's limits of consistent hashing, and Istio's default ring.
const (
	defaultRing = 1024
	maxRing     = 8 << 20
	maxTable    = 5000011
)

// balance chooses how endpoints are chosen.
func balance(c *clusterv3.Cluster, t Target, b *model.Balancer) []model.Problem {
	if b == nil {
		return nil
	}
	var problems []model.Problem
	switch b.Kind {
	case model.RoundRobin:
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		if w := warmup(b.Warmup); w != nil {
			c.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{SlowStartConfig: w}}
		}
	case model.Random:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	case model.Passthrough:
		passthrough(c)
	case model.RingHash:
		size := b.MinimumRing
		if size == 0 {
			size = defaultRing
		}
		if size > maxRing {
			problems = append(problems, t.problem("loadBalancer.consistentHash.ringHash.minimumRingSize", "TooLarge",
				fmt.Sprintf("the ring is to have %d entries; %d are the most, and are taken", size, maxRing)))
			size = maxRing
		}
		c.LbPolicy = clusterv3.Cluster_RING_HASH
		c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{MinimumRingSize: wrapperspb.UInt64(size)}}
	case model.Maglev:
		c.LbPolicy = clusterv3.Cluster_MAGLEV
		if b.Table == 0 {
			break
		}
		if b.Table > maxTable || !new(big.Int).SetUint64(b.Table).ProbablyPrime(0) {
			problems = append(problems, t.problem("loadBalancer.consistentHash.maglev.tableSize", "InvalidTableSize",
				fmt.Sprintf("%d is no prime number up to %d, so the default of 65537 is taken: write one, such as 65537 or 655373", b.Table, maxTable)))
			break
		}
		c.LbConfig = &clusterv3.Cluster_MaglevLbConfig_{MaglevLbConfig: &clusterv3.Cluster_MaglevLbConfig{TableSize: wrapperspb.UInt64(b.Table)}}
	default:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if w := warmup(b.Warmup); w != nil {
			c.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{SlowStartConfig: w}}
		}
	}
	if b.Warmup != nil && b.Kind > model.RoundRobin {
		problems = append(problems, t.problem("loadBalancer.warmup", "NotSupported",
			"only ROUND_ROBIN and LEAST_REQUEST let endpoints warm up: choose one of them, or leave warmup out"))
	}
	return problems
}

// warmup of new endpoints.
func warmup(w *model.Warmup) *clusterv3.Cluster_SlowStartConfig {
	if w == nil || w.Duration <= 0 {
		return nil
	}
	out := &clusterv3.Cluster_SlowStartConfig{SlowStartWindow: durationpb.New(w.Duration)}
	if w.MinimumPercent != nil {
		out.MinWeightPercent = &typev3.Percent{Value: min(max(*w.MinimumPercent, 0), 100)}
	}
	if w.Aggression != nil && *w.Aggression > 0 {
		out.Aggression = &corev3.RuntimeDouble{DefaultValue: *w.Aggression, RuntimeKey: "isthmesh.warmup.aggression"}
	}
	return out
}

// passthrough goes to the address that the caller meant, which may be none of
// the endpoints that are known.
func passthrough(c *clusterv3.Cluster) {
	c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	c.EdsClusterConfig, c.LoadAssignment, c.LbSubsetConfig, c.WaitForWarmOnInit = nil, nil, nil, nil
	// Which of them can do mesh TLS isn't known.
	c.TransportSocketMatches = nil
}

// HashPolicies of routes to a cluster whose balancer hashes; nil for others, and
// for names that no header or cookie can have, which validation refuses.
func HashPolicies(b *model.Balancer) []*routev3.RouteAction_HashPolicy {
	if b == nil || b.Hash == nil || b.Kind != model.RingHash && b.Kind != model.Maglev {
		return nil
	}
	out := &routev3.RouteAction_HashPolicy{}
	switch h := b.Hash; {
	case envoy.ValidName(h.Header):
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_Header_{Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: h.Header}}
	case h.Query != "":
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_QueryParameter_{QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: h.Query}}
	case h.Cookie != nil && envoy.ValidName(h.Cookie.Name):
		cookie := &routev3.RouteAction_HashPolicy_Cookie{Name: h.Cookie.Name, Path: h.Cookie.Path}
		if ttl := h.Cookie.TTL; ttl != nil && *ttl >= 0 {
			cookie.Ttl = durationpb.New(*ttl)
		}
		for _, a := range h.Cookie.Attributes {
			if !envoy.ValidName(a.Name) || !envoy.ValidValue(a.Value) {
				continue
			}
			cookie.Attributes = append(cookie.Attributes, &routev3.RouteAction_HashPolicy_CookieAttribute{Name: a.Name, Value: a.Value})
		}
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_Cookie_{Cookie: cookie}
	case h.SourceIP:
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_ConnectionProperties_{
			ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
		}
	default:
		return nil
	}
	return []*routev3.RouteAction_HashPolicy{out}
}
