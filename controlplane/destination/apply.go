// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Apply writes a target's policy into its cluster, which the translator made
// for a service without any policy: with balancer, limits, connect timeout,
// protocol options and transport sockets. Without a policy the cluster stays as
// it is, but for what Settings ask for: keepalive, locality weights, HTTP/2.
func Apply(c *clusterv3.Cluster, t Target) []model.Problem {
	var problems []model.Problem
	keepalive(c, t.Settings.TCPKeepalive, c.GetUpstreamConnectionOptions() == nil)
	http(c, t)
	p := t.PortPolicy()
	if p == nil {
		weighLocalities(c, t)
		return nil
	}
	if pool := p.Connections; pool != nil {
		connections(c, pool)
	}
	traffic := t.traffic()
	if traffic == nil {
		traffic = &model.TrafficPolicy{}
	}
	budget(c, traffic.RetryBudget)
	outliers(c, t, p.Outliers)
	problems = append(problems, balance(c, t, p.Balancer)...)
	weighLocalities(c, t)
	problems = append(problems, secure(c, t)...)
	announce(c, traffic.ProxyProtocol)
	return problems
}

// empty takes all endpoints from a cluster: what is sent to it fails with 503.
func empty(c *clusterv3.Cluster) {
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.EdsClusterConfig = nil
	c.LbPolicy, c.LbConfig = clusterv3.Cluster_LEAST_REQUEST, nil
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: c.GetName()}
}

// keepalive of TCP. What the translator chose for connections to gateways
// yields to a policy's, not to the mesh's.
func keepalive(c *clusterv3.Cluster, k *model.Keepalive, free bool) {
	if k == nil || !free {
		return
	}
	out := &corev3.TcpKeepalive{}
	if k.Probes > 0 {
		out.KeepaliveProbes = wrapperspb.UInt32(k.Probes)
	}
	if k.Time > 0 {
		out.KeepaliveTime = wrapperspb.UInt32(seconds(k.Time))
	}
	if k.Interval > 0 {
		out.KeepaliveInterval = wrapperspb.UInt32(seconds(k.Interval))
	}
	if c.UpstreamConnectionOptions == nil {
		c.UpstreamConnectionOptions = &clusterv3.UpstreamConnectionOptions{}
	}
	c.UpstreamConnectionOptions.TcpKeepalive = out
}

// seconds of a duration, which the kernel counts in; never 0, never more than it takes.
func seconds(d time.Duration) uint32 {
	return uint32(min(max(d.Round(time.Second)/time.Second, 1), 32767))
}
