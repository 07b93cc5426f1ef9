// SPDX-License-Identifier: Apache-2.0

package eastwest

import (
	"math"
	"net/netip"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// Serves is true for services that the gateway passes connections to.
func Serves(svc *model.Service) bool {
	return svc.Exported && svc.Local && svc.Kind != model.ExternalName
}

// Passage is what one server name leads to: a port of an exported service, or a
// subset of what is behind it. Port is an index into Service.Ports; no Subset
// is the whole. Two are the same when they are equal.
type Passage struct {
	Service *model.Service
	Port    int
	Subset  string
	Labels  model.Labels
}

// Name that clients ask for; it names the cluster too.
func (p Passage) Name() string {
	port, host := p.Service.Ports[p.Port].Number, p.Service.Hostname
	if p.Subset == "" {
		return envoy.SNI(port, host)
	}
	return envoy.SubsetSNI(port, p.Subset, host)
}

// Cluster of a passage.
func (p Passage) Cluster(s *model.Settings) (*envoy.Resource, error) {
	name := p.Name()
	timeout := s.ConnectTimeoutMillis
	if timeout <= 0 {
		timeout = 10000
	}
	unlimited := wrapperspb.UInt32(math.MaxUint32)
	return envoy.NewResource(name, &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: envoy.ADS(), ServiceName: name},
		ConnectTimeout:       envoy.Milliseconds(timeout),
		// In turn: what arrives here is connections, of which a client opens few.
		LbPolicy: clusterv3.Cluster_ROUND_ROBIN,
		Metadata: standardmetrics.Service(p.Service),
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections:     unlimited,
			MaxPendingRequests: unlimited,
		}}},
	})
}

// Endpoints of a passage: this member's own pods that do mutual TLS and are in
// its subset. Another gateway is never among them, so nothing is relayed and
// nothing goes round in circles.
func (p Passage) Endpoints(s *model.Settings, set *model.EndpointSet) (*envoy.Resource, error) {
	name := p.Name()
	ready := &endpointv3.LocalityLbEndpoints{}
	terminating := &endpointv3.LocalityLbEndpoints{}
	for i := range set.Endpoints {
		e := &set.Endpoints[i]
		if _, err := netip.ParseAddr(e.Address); err != nil || e.Gateway || !e.MTLS || e.Cluster != s.Cluster || !e.In(p.Labels) {
			continue
		}
		group, health := ready, corev3.HealthStatus_UNKNOWN
		if e.Draining {
			group, health = terminating, corev3.HealthStatus_DRAINING
		}
		group.LbEndpoints = append(group.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: envoy.Address(e.Address, e.Port)}},
			HealthStatus:   health,
		})
	}
	out := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	for _, group := range []*endpointv3.LocalityLbEndpoints{ready, terminating} {
		if len(group.LbEndpoints) > 0 {
			group.Priority = uint32(len(out.Endpoints))
			out.Endpoints = append(out.Endpoints, group)
		}
	}
	return envoy.NewResource(name, out)
}
