// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// Stranger is what a sidecar takes whose workload is not known: mutual TLS
// only, because a workload's own mode may be just that.
var Stranger = &model.Workload{MTLS: model.Strict}

// Listeners of the sidecar: the one of everything that was redirected to port
// 15006, as far as the workload's policies let it in, and those that its Scope
// binds to addresses of their own.
func (in Intake) Listeners(policies *policy.Chosen) ([]*envoy.Resource, error) {
	s := in.Settings
	ipv6 := hasIPv6(in.Workload)
	l := &listenerv3.Listener{
		Name:             envoy.VirtualInbound,
		Address:          envoy.Address("0.0.0.0", envoy.InboundPort),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		AccessLog:        envoy.RefusedLog(s),
		FilterChains: []*listenerv3.FilterChain{{
			// Who calls this port itself would go round in circles.
			Name:             envoy.VirtualInbound + "-blackhole",
			FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(envoy.InboundPort)},
			Filters:          []*listenerv3.Filter{envoy.TCPProxyFilter(envoy.TCPProxy(s, envoy.BlackHoleCluster))},
		}},
	}
	if ipv6 {
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: envoy.Address("::", envoy.InboundPort)}}
	}
	ports := in.ports()
	filters := policy.Discovered(s, policies)
	g := guard{settings: s, http: filters.HTTP(), tcp: filters.TCP()}
	var out []*envoy.Resource
	for _, p := range ports {
		// One that is bound is here too: its connections may be redirected all the same.
		l.FilterChains = append(l.FilterChains, p.chains(g)...)
		if p.ingress == nil || !p.ingress.NoCapture {
			continue
		}
		bound, err := in.bound(p, g)
		if err != nil {
			return nil, err
		}
		if bound != nil {
			out = append(out, bound)
		}
	}
	inspectors(l, ports)
	envoy.Sniff(s, l)
	r, err := envoy.NewResource(l.Name, l)
	return append(out, r), err
}

// Clusters of the sidecar's own workload: one for each port that a service or the
// Scope names, and one for all others. They lead to the address that the client
// meant, or to where the Scope says that the application listens, from a source
// address that is not redirected again.
func (in Intake) Clusters() ([]*envoy.Resource, error) {
	var out []*envoy.Resource
	for _, p := range in.ports() {
		if p.port != 0 && p.cluster == envoy.InboundPassthroughCluster {
			continue
		}
		c, captured := originalDst(in.Settings, p.cluster), true
		if to := in.listening(p); to != "" {
			c, captured = in.application(p, to)
		}
		c.Metadata = in.described(p)
		speak(c, p.protocol, Reach{})
		destination.Limit(c, p.pool)
		if captured {
			c.UpstreamBindConfig = uncaptured(in.Workload)
		}
		r, err := envoy.NewResource(c.Name, c)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// described is the service that a port belongs to.
func (in Intake) described(p inboundPort) *corev3.Metadata {
	for _, of := range in.Workload.Inbound {
		if p.ingress == nil && of.Port == p.port || p.ingress != nil && of.ServicePort == p.port {
			return standardmetrics.Host(in.Settings, of.Service)
		}
	}
	return standardmetrics.Named(p.cluster)
}

// uncaptured is the source address from which nothing is redirected.
func uncaptured(w *model.Workload) *corev3.BindConfig {
	bind := &corev3.BindConfig{SourceAddress: &corev3.SocketAddress{
		Address:       "127.0.0.6",
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 0},
	}}
	if hasIPv6(w) {
		bind.ExtraSourceAddresses = []*corev3.ExtraSourceAddress{{Address: &corev3.SocketAddress{
			Address:       "::6",
			PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 0},
		}}}
	}
	return bind
}

func hasIPv6(w *model.Workload) bool {
	for _, a := range w.Addresses {
		if a.Is6() && !a.Is4In6() {
			return true
		}
	}
	return false
}
