// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	commondnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// A gateway that has a name only can't be an endpoint that comes by EDS. So the
// endpoint is an internal listener of the proxy, which leads to a cluster of
// that one name. Services keep clusters and endpoints like all others, and a
// name is looked up once for all of them.

// Named is true for endpoints whose address is a DNS name.
func Named(e *model.Endpoint) bool {
	_, err := netip.ParseAddr(e.Address)
	return err != nil && socket(e) == nil
}

// NamedListener leads to the name and port of an endpoint, from inside the proxy.
func NamedListener(host string, port uint16) (*envoy.Resource, error) {
	name := envoy.Named(host, port)
	return envoy.NewResource(name, &listenerv3.Listener{
		Name:              name,
		ListenerSpecifier: &listenerv3.Listener_InternalListener{InternalListener: &listenerv3.Listener_InternalListenerConfig{}},
		FilterChains: []*listenerv3.FilterChain{{
			// Without an access log: the listener that leads here has one.
			Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(envoy.TCPProxy(&model.Settings{}, name))},
		}},
	})
}

// NamedCluster resolves the name of an endpoint.
func NamedCluster(s *model.Settings, host string, port uint16) (*envoy.Resource, error) {
	c := plain(s, envoy.Named(host, port))
	c.UpstreamConnectionOptions = keepalive()
	resolve(c, host, port)
	return envoy.NewResource(c.Name, c)
}

// resolve makes the proxy look a name up and take all its addresses.
func resolve(c *clusterv3.Cluster, host string, port uint16) {
	c.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.cluster.dns",
		TypedConfig: envoy.Any(&dnsv3.DnsCluster{
			DnsRefreshRate:  durationpb.New(5 * time.Second),
			RespectDnsTtl:   true,
			DnsLookupFamily: commondnsv3.DnsLookupFamily_V4_PREFERRED,
		}),
	}}
	// While one cluster warms Envoy takes no other, and a resolver that doesn't
	// answer lets it wait for minutes: one bad name would stop the whole mesh.
	c.WaitForWarmOnInit = wrapperspb.Bool(false)
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: c.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
		LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: envoy.Address(host, port)}},
		}},
	}}}
}

// keepalive of connections to gateways: one that went away without a word must
// not be believed in for the two hours that the kernel allows.
func keepalive() *clusterv3.UpstreamConnectionOptions {
	return &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{
		KeepaliveTime:     wrapperspb.UInt32(30),
		KeepaliveInterval: wrapperspb.UInt32(10),
		KeepaliveProbes:   wrapperspb.UInt32(3),
	}}
}
