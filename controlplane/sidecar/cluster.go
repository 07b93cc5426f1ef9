// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"math"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Reach is all that a cluster must know of its endpoints. It changes when a
// member joins or leaves, not when pods come and go.
type Reach struct {
	// Gateways: some endpoints are east-west gateways.
	Gateways bool
}

// ReachOf looks at the endpoints of one port.
func ReachOf(set *model.EndpointSet) Reach {
	return Reach{Gateways: slices.ContainsFunc(set.Endpoints, func(e model.Endpoint) bool { return e.Gateway })}
}

// Cluster of one service port, whose endpoints come by EDS. port is an index
// into svc.Ports.
func Cluster(s *model.Settings, svc *model.Service, port int, reach Reach) (*envoy.Resource, error) {
	c := outbound(s, svc, port, reach)
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
	c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: envoy.ADS(), ServiceName: c.Name}
	return envoy.NewResource(c.Name, c)
}

// External is the cluster of one port of an ExternalName service whose name the
// mesh doesn't know.
func External(s *model.Settings, svc *model.Service, port int) (*envoy.Resource, error) {
	p := svc.Ports[port]
	name := envoy.Outbound(p.Number, svc.Hostname)
	c := plain(s, name)
	c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	speak(c, p.Protocol, Reach{})
	resolve(c, svc.ExternalName, p.Number)
	return envoy.NewResource(name, c)
}

// outbound is what clusters of services have in common.
func outbound(s *model.Settings, svc *model.Service, port int, reach Reach) *clusterv3.Cluster {
	p := svc.Ports[port]
	c := plain(s, envoy.Outbound(p.Number, svc.Hostname))
	c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	c.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{
		{
			Name:            "tlsMode-istio",
			Match:           &structpb.Struct{Fields: map[string]*structpb.Value{tlsMode: structpb.NewStringValue(tlsModeMesh)}},
			TransportSocket: envoy.ClientTLS(envoy.SNI(p.Number, svc.Hostname), offers(p.Protocol), svc.Identities),
		},
		{
			Name:  "tlsMode-disabled",
			Match: &structpb.Struct{},
			TransportSocket: &corev3.TransportSocket{
				Name:       "envoy.transport_sockets.raw_buffer",
				ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(&rawbufferv3.RawBuffer{})},
			},
		},
	}
	speak(c, p.Protocol, reach)
	if svc.Kind == model.Headless {
		c.LbSubsetConfig = onePod()
	}
	if reach.Gateways {
		c.UpstreamConnectionOptions = keepalive()
	}
	return c
}

// onePod lets a listener or route choose one endpoint of a headless service by
// its address or hostname; who chooses none is balanced over all. A chosen pod
// that is gone is an error: another one would be the wrong one.
func onePod() *clusterv3.Cluster_LbSubsetConfig {
	selector := func(key string) *clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector {
		return &clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector{
			Keys:           []string{key},
			FallbackPolicy: clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_NO_FALLBACK,
		}
	}
	return &clusterv3.Cluster_LbSubsetConfig{
		FallbackPolicy:  clusterv3.Cluster_LbSubsetConfig_ANY_ENDPOINT,
		SubsetSelectors: []*clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector{selector(podAddress), selector(podHostname)},
	}
}

// plain is a cluster without limits: limits are what users set, not a default.
func plain(s *model.Settings, name string) *clusterv3.Cluster {
	timeout := s.ConnectTimeoutMillis
	if timeout <= 0 {
		timeout = int64(10 * time.Second / time.Millisecond)
	}
	unlimited := wrapperspb.UInt32(math.MaxUint32)
	return &clusterv3.Cluster{
		Name:           name,
		ConnectTimeout: envoy.Milliseconds(timeout),
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections:     unlimited,
			MaxPendingRequests: unlimited,
			MaxRequests:        unlimited,
			MaxRetries:         unlimited,
			TrackRemaining:     true,
		}}},
	}
}

// offers is what a client offers in mesh TLS. A sniffed port offers TCP; its
// HTTP requests say otherwise for themselves (envoy.OfferHTTP).
func offers(p model.Protocol) []string {
	switch {
	case p.IsHTTP2():
		return []string{envoy.ALPNHTTP2, envoy.ALPNTCP}
	case p == model.HTTP:
		return []string{envoy.ALPNHTTP1, envoy.ALPNHTTP2, envoy.ALPNTCP}
	default:
		return []string{envoy.ALPNTCP}
	}
}
