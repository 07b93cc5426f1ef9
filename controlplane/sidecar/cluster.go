// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// Reach is all that a cluster must know of its endpoints. It changes when a
// member joins or leaves, not when pods come and go.
type Reach struct {
	// Gateways: some endpoints are east-west gateways.
	Gateways bool
	// Plain: HTTP/1.1 is spoken where the port doesn't say HTTP/2. Callers are
	// gateways, whose clients choose HTTP/2 by themselves when they use TLS.
	Plain bool
	// GRPC: a GRPCRoute sends here, so HTTP/2 is kept though the port says HTTP.
	GRPC bool
	// Written are the endpoints themselves, of a service that has no EDS; they
	// stand in the cluster.
	Written *model.EndpointSet
}

// ReachOf looks at the endpoints of one port.
func ReachOf(svc *model.Service, set *model.EndpointSet) Reach {
	if svc.Resolution != model.Discovered {
		return Reach{Written: set}
	}
	return Reach{Gateways: behindGateways(set)}
}

// Clusters of one service port: that of the whole, and of each subset of the
// policy. port is an index into the service's ports. from is where the caller
// is; it matters to endpoints that stand in the cluster only.
func (c Call) Clusters(port int, reach Reach, from destination.Caller) ([]*envoy.Resource, []model.Problem, error) {
	var out []*envoy.Resource
	var problems []model.Problem
	for i, t := range c.targets(port) {
		within := reach
		within.Gateways = reach.Gateways && !t.Near()
		made := outbound(c.Settings, t, within)
		found := destination.Apply(made, t)
		c.discover(made, t, reach.Written, from)
		if i == 0 || len(problems) == 0 {
			problems = append(problems, found...)
		}
		r, err := envoy.NewResource(made.Name, made)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, r)
	}
	return out, problems, nil
}

// External is the cluster of one port of an ExternalName service whose name the
// mesh doesn't know.
func (c Call) External(port int) (*envoy.Resource, []model.Problem, error) {
	p := c.Service.Ports[port]
	name := envoy.Outbound(p.Number, c.Service.Hostname)
	made := plain(c.Settings, name)
	made.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	made.Metadata = standardmetrics.Service(c.Service)
	speak(made, p.Protocol, Reach{})
	resolve(made, c.Service.ExternalName, p.Number)
	problems := destination.Apply(made, c.targets(port)[0])
	r, err := envoy.NewResource(name, made)
	return r, problems, err
}

// plainSocket is the transport of plain text.
const plainSocket = "envoy.transport_sockets.raw_buffer"

// outbound is what clusters of services have in common.
func outbound(s *model.Settings, t destination.Target, reach Reach) *clusterv3.Cluster {
	svc := t.Service
	p := svc.Ports[t.Port]
	c := plain(s, envoy.OutboundSubset(p.Number, t.Subset, svc.Hostname))
	c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	c.Metadata = standardmetrics.Service(svc)
	c.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{
		{
			Name:            "tlsMode-istio",
			Match:           &structpb.Struct{Fields: map[string]*structpb.Value{tlsMode: structpb.NewStringValue(tlsModeMesh)}},
			TransportSocket: envoy.ClientTLS(s.MeshTLS, t.SNI, offers(p.Protocol), svc.Identities),
		},
		{
			Name:  "tlsMode-disabled",
			Match: &structpb.Struct{},
			TransportSocket: &corev3.TransportSocket{
				Name:       plainSocket,
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
