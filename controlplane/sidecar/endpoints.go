// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/destination"
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
	out, err := Call{Settings: s, Service: svc}.Endpoints(port, set, destination.Caller{Locality: from})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// Endpoints of one service port as a caller is to try them: those of the whole,
// and of each subset of the policy.
func (c Call) Endpoints(port int, set *model.EndpointSet, from destination.Caller) ([]*envoy.Resource, error) {
	var out []*envoy.Resource
	for _, t := range c.targets(port) {
		a := c.assignment(t, chosen(t, set), from)
		r, err := envoy.NewResource(a.ClusterName, a)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (c Call) assignment(t destination.Target, set *model.EndpointSet, from destination.Caller) *endpointv3.ClusterLoadAssignment {
	quiet := silent(set)
	a := c.assign(t, set, from, quiet)
	if quiet != nil && !answered(a) {
		// A policy leaves the others out.
		return c.assign(t, set, from, nil)
	}
	return a
}

// assign the endpoints of a set, of which some are silent.
func (c Call) assign(t destination.Target, set *model.EndpointSet, from destination.Caller, silent []bool) *endpointv3.ClusterLoadAssignment {
	s, svc := c.Settings, c.Service
	balancing := destination.Localities(t)
	priority := priorities(s, svc, set, from.Locality)
	if balancing != nil {
		priority = destination.Priorities(balancing, from, set.Endpoints, priority)
	}
	priority = postponed(priority, silent)
	order := make([]int, len(set.Endpoints))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(priority[a], priority[b]), compareLocality(set.Endpoints[a].Locality, set.Endpoints[b].Locality))
	})

	out := &endpointv3.ClusterLoadAssignment{ClusterName: envoy.OutboundSubset(svc.Ports[t.Port].Number, t.Subset, svc.Hostname)}
	var group *endpointv3.LocalityLbEndpoints
	var at model.Locality
	var localities []model.Locality
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
			localities = append(localities, at)
		}
		lb := lbEndpoint(svc, e, metadata(s, svc, e))
		if silent != nil && silent[i] {
			lb.HealthStatus = corev3.HealthStatus_UNHEALTHY
		}
		group.LbEndpoints = append(group.LbEndpoints, lb)
		group.LoadBalancingWeight.Value += max(e.Weight, 1)
	}
	if balancing != nil {
		weigh(out, balancing, from.Locality, localities)
	}
	return out
}

// weigh localities as a distribution wants; one that gets nothing is left out.
func weigh(a *endpointv3.ClusterLoadAssignment, l *model.LocalityBalancing, from model.Locality, localities []model.Locality) {
	sums := make([]uint32, len(a.Endpoints))
	for i, g := range a.Endpoints {
		sums[i] = g.LoadBalancingWeight.Value
	}
	weights, ok := destination.Weights(l, from, localities, sums)
	if !ok {
		return
	}
	kept := a.Endpoints[:0]
	for i, g := range a.Endpoints {
		if weights[i] > 0 {
			g.LoadBalancingWeight.Value = weights[i]
			kept = append(kept, g)
		}
	}
	a.Endpoints = kept
}

func lbEndpoint(svc *model.Service, e *model.Endpoint, m *corev3.Metadata) *endpointv3.LbEndpoint {
	health := corev3.HealthStatus_UNKNOWN
	if e.Draining {
		health = corev3.HealthStatus_DRAINING
	}
	return &endpointv3.LbEndpoint{
		HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(svc, e)}},
		HealthStatus:        health,
		Metadata:            m,
		LoadBalancingWeight: wrapperspb.UInt32(max(e.Weight, 1)),
	}
}

func address(svc *model.Service, e *model.Endpoint) *corev3.Address {
	if socket := socket(e); socket != nil {
		return socket
	}
	// A cluster that looks names up takes them as they are.
	if svc.Resolution != model.Discovered || !Named(e) {
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
