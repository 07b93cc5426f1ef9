// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Metadata of endpoints: what a cluster chooses the transport socket by, and
// what a listener or route chooses one pod of a headless service by.
const (
	socketMatch = "envoy.transport_socket_match"
	tlsMode     = "tlsMode"
	tlsModeMesh = "istio"

	subsetMatch = "envoy.lb"
	podAddress  = "address"
	podHostname = "hostname"
)

// Endpoints of one service port, ordered as seen from a locality. port is an
// index into svc.Ports.
func Endpoints(s *model.Settings, svc *model.Service, port int, set *model.EndpointSet, from model.Locality) (*envoy.Resource, error) {
	a := assignment(s, svc, port, set, from)
	return envoy.NewResource(a.ClusterName, a)
}

func assignment(s *model.Settings, svc *model.Service, port int, set *model.EndpointSet, from model.Locality) *endpointv3.ClusterLoadAssignment {
	priority := priorities(s, svc, set, from)
	order := make([]int, len(set.Endpoints))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(priority[a], priority[b]), compareLocality(set.Endpoints[a].Locality, set.Endpoints[b].Locality))
	})

	out := &endpointv3.ClusterLoadAssignment{ClusterName: envoy.Outbound(svc.Ports[port].Number, svc.Hostname)}
	var group *endpointv3.LocalityLbEndpoints
	var at model.Locality
	for _, i := range order {
		e := &set.Endpoints[i]
		if group == nil || group.Priority != priority[i] || at != e.Locality {
			at = e.Locality
			group = &endpointv3.LocalityLbEndpoints{
				Locality:            &corev3.Locality{Region: at.Region, Zone: at.Zone, SubZone: at.SubZone},
				Priority:            priority[i],
				LoadBalancingWeight: wrapperspb.UInt32(0),
			}
			out.Endpoints = append(out.Endpoints, group)
		}
		group.LbEndpoints = append(group.LbEndpoints, lbEndpoint(e, metadata(s, svc, e)))
		group.LoadBalancingWeight.Value += max(e.Weight, 1)
	}
	return out
}

func lbEndpoint(e *model.Endpoint, m *corev3.Metadata) *endpointv3.LbEndpoint {
	health := corev3.HealthStatus_UNKNOWN
	if e.Draining {
		health = corev3.HealthStatus_DRAINING
	}
	return &endpointv3.LbEndpoint{
		HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(e)}},
		HealthStatus:        health,
		Metadata:            m,
		LoadBalancingWeight: wrapperspb.UInt32(max(e.Weight, 1)),
	}
}

func address(e *model.Endpoint) *corev3.Address {
	if !Named(e) {
		return envoy.Address(e.Address, e.Port)
	}
	return &corev3.Address{Address: &corev3.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corev3.EnvoyInternalAddress{
		AddressNameSpecifier: &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: envoy.Named(e.Address, e.Port)},
	}}}
}

// metadata says whether an endpoint is spoken to in mutual TLS. A gateway
// always is: it passes nothing else.
func metadata(s *model.Settings, svc *model.Service, e *model.Endpoint) *corev3.Metadata {
	fields := make(map[string]*structpb.Struct, 2)
	if e.Gateway || e.MTLS && s.AutoMTLS {
		fields[socketMatch] = meshTLS
	}
	if svc.Kind == model.Headless && !e.Gateway {
		pod := &structpb.Struct{Fields: map[string]*structpb.Value{podAddress: structpb.NewStringValue(e.Address)}}
		if e.Hostname != "" {
			pod.Fields[podHostname] = structpb.NewStringValue(e.Hostname)
		}
		fields[subsetMatch] = pod
	}
	if len(fields) == 0 {
		return nil
	}
	return &corev3.Metadata{FilterMetadata: fields}
}

// meshTLS is shared by all endpoints; nobody writes to it.
var meshTLS = &structpb.Struct{Fields: map[string]*structpb.Value{tlsMode: structpb.NewStringValue(tlsModeMesh)}}
