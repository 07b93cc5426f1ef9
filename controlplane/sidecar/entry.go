// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	commondnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	forwardclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	forwardv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	httpforwardv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	sniforwardv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// A service of a ServiceEntry may have endpoints that a proxy finds by itself:
// by looking names up, out of the address that was called, or out of the host
// that a request names. Then there is no EDS, and the cluster says it all.

// defaultDNSRefresh is Istio's, where a name server gives no time to live.
const defaultDNSRefresh = 60 * time.Second

// unixScheme begins the address of an endpoint that is a Unix socket.
const unixScheme = "unix://"

// discover makes a cluster find its endpoints as its service's resolution says.
// It comes after the policy, whose balancers some ways of finding exclude; a
// policy that has decided where the cluster goes is left alone. set are the
// target's endpoints, seen from a caller; services with EDS need none.
func (c Call) discover(made *clusterv3.Cluster, t destination.Target, set *model.EndpointSet, from destination.Caller) {
	if made.ClusterDiscoveryType != nil {
		return
	}
	switch c.Service.Resolution {
	case model.ByDNS, model.ByDNSRoundRobin:
		c.discoverByDNS(made, c.assignment(t, chosen(t, set), from))
	case model.AsCalled:
		discoverAsCalled(made, t)
	case model.ByHost:
		discoverByHost(c.Settings, made)
	default:
		made.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		made.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: envoy.ADS(), ServiceName: made.Name}
	}
}

func (c Call) discoverByDNS(made *clusterv3.Cluster, a *endpointv3.ClusterLoadAssignment) {
	made.LoadAssignment = a
	if len(a.Endpoints) == 0 {
		made.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		return
	}
	first := c.Service.Resolution == model.ByDNSRoundRobin
	if first {
		// Envoy takes one endpoint here, and one locality without priorities.
		a.Endpoints = a.Endpoints[:1]
		a.Endpoints[0].LbEndpoints = a.Endpoints[0].LbEndpoints[:1]
	}
	refresh := defaultDNSRefresh
	if ms := c.Settings.DNSRefreshMillis; ms > 0 {
		refresh = time.Duration(ms) * time.Millisecond
	}
	made.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.cluster.dns",
		TypedConfig: envoy.Any(&dnsv3.DnsCluster{
			DnsRefreshRate:               durationpb.New(refresh),
			RespectDnsTtl:                true,
			DnsLookupFamily:              commondnsv3.DnsLookupFamily_V4_PREFERRED,
			AllAddressesInSingleEndpoint: first,
		}),
	}}
	// A name server that doesn't answer must not hold the other clusters up.
	made.WaitForWarmOnInit = wrapperspb.Bool(false)
}

// discoverAsCalled goes to the address that the caller meant, with the port that
// the entry has for endpoints.
func discoverAsCalled(made *clusterv3.Cluster, t destination.Target) {
	provided(made)
	made.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	if p := t.Service.Ports[t.Port]; p.Target != 0 && p.Target != p.Number {
		made.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{
			UpstreamPortOverride: wrapperspb.UInt32(uint32(p.Target)),
		}}
	}
}

// discoverByHost looks up the host that a request or a server name spells.
func discoverByHost(s *model.Settings, made *clusterv3.Cluster) {
	provided(made)
	made.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.clusters.dynamic_forward_proxy",
		TypedConfig: envoy.Any(&forwardclusterv3.ClusterConfig{
			ClusterImplementationSpecifier: &forwardclusterv3.ClusterConfig_DnsCacheConfig{DnsCacheConfig: lookups(s)},
			// What TLS there is comes from a DestinationRule, which says whom it trusts.
			AllowInsecureClusterOptions: true,
		}),
	}}
}

// provided takes from a cluster what goes with endpoints that are known: a
// balancer, subsets, localities, and the choice of mutual TLS by endpoint.
func provided(made *clusterv3.Cluster) {
	if m := made.GetTransportSocketMatches(); len(m) > 0 && made.TransportSocket == nil {
		// That of endpoints without mutual TLS comes last: it may announce the caller.
		if plain := m[len(m)-1].GetTransportSocket(); plain.GetName() != plainSocket {
			made.TransportSocket = plain
		}
	}
	made.LbPolicy, made.LbConfig, made.LoadBalancingPolicy = clusterv3.Cluster_CLUSTER_PROVIDED, nil, nil
	made.LbSubsetConfig, made.TransportSocketMatches, made.LoadAssignment, made.EdsClusterConfig = nil, nil, nil, nil
	if made.CommonLbConfig != nil {
		made.CommonLbConfig.LocalityConfigSpecifier = nil
	}
}

// lookups of hosts are shared by the clusters and filters of a proxy; Envoy
// wants all that name a cache to say the same of it.
func lookups(s *model.Settings) *forwardv3.DnsCacheConfig {
	refresh := defaultDNSRefresh
	if s.DNSRefreshMillis > 0 {
		// A second is the least that Envoy takes here.
		refresh = max(time.Duration(s.DNSRefreshMillis)*time.Millisecond, time.Second)
	}
	return &forwardv3.DnsCacheConfig{
		Name:            "called_hosts",
		DnsLookupFamily: clusterv3.Cluster_V4_PREFERRED,
		DnsRefreshRate:  durationpb.New(refresh),
		MaxHosts:        wrapperspb.UInt32(mostHosts),
	}
}

// mostHosts that a proxy looks up at once by what callers name.
const mostHosts = 10_000

// hostLookup is the HTTP filter that the routes to services of resolution ByHost
// need, right before the router; other routes pass it.
func hostLookup(s *model.Settings) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name: "envoy.filters.http.dynamic_forward_proxy",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: envoy.Any(&httpforwardv3.FilterConfig{
			ImplementationSpecifier: &httpforwardv3.FilterConfig_DnsCacheConfig{DnsCacheConfig: lookups(s)},
		})},
	}
}

// nameLookup is the network filter that looks the server name of TLS up, before
// the TCP proxy to a cluster of resolution ByHost.
func nameLookup(s *model.Settings, port uint16) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name: "envoy.filters.network.sni_dynamic_forward_proxy",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: envoy.Any(&sniforwardv3.FilterConfig{
			DnsCacheConfig: lookups(s),
			PortSpecifier:  &sniforwardv3.FilterConfig_PortValue{PortValue: uint32(port)},
		})},
	}
}

// prefixes are the ranges of addresses of a service.
func prefixes(svc *model.Service) []*corev3.CidrRange {
	var out []*corev3.CidrRange
	for _, r := range svc.Ranges {
		out = append(out, &corev3.CidrRange{AddressPrefix: r.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(r.Bits()))})
	}
	return out
}

// inRanges narrows the chains of a port down to the ranges of addresses that mean
// the service; rest, which takes bytes, is one of them then. Envoy looks at the
// address first, so plain HTTP needs a chain for the ranges too.
func (c Call) inRanges(port int, chains []*listenerv3.FilterChain, rest *listenerv3.FilterChain) []*listenerv3.FilterChain {
	svc, p := c.Service, c.Service.Ports[port]
	out := slices.Clone(chains)
	if rest != nil {
		out = append(out, rest)
	} else if p.Protocol != model.TCP {
		// Not every connection to the ranges names a server.
		out = append(out, c.tcpChain(port))
	}
	if SharesPort(svc, p) {
		out = append(out, httpChain(c.Settings, envoy.PortListener(p.Number), envoy.PortRoute(p.Number), nil, svc.Resolution == model.ByHost))
	}
	// Of two with one range the first has it: a rule that names the range itself.
	ranged := func(chain *listenerv3.FilterChain) int {
		return -min(1, len(chain.GetFilterChainMatch().GetPrefixRanges()))
	}
	slices.SortStableFunc(out, func(a, b *listenerv3.FilterChain) int { return cmp.Compare(ranged(a), ranged(b)) })
	for i, chain := range out {
		if ranged(chain) < 0 {
			continue
		}
		narrow := proto.CloneOf(chain)
		if narrow.FilterChainMatch == nil {
			narrow.FilterChainMatch = &listenerv3.FilterChainMatch{}
		}
		narrow.FilterChainMatch.PrefixRanges = prefixes(svc)
		out[i] = narrow
	}
	return out
}

// socket is the Unix socket of an endpoint; nil when it has another address.
func socket(e *model.Endpoint) *corev3.Address {
	path, ok := strings.CutPrefix(e.Address, unixScheme)
	if !ok {
		return nil
	}
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
}
