// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// Stranger is what a sidecar takes whose workload is not known: mutual TLS
// only, because a workload's own mode may be just that.
var Stranger = &model.Workload{MTLS: model.Strict}

// Inbound listener of a workload: everything that was redirected to port 15006,
// as far as its policies let it in.
func Inbound(s *model.Settings, w *model.Workload, policies *policy.Chosen) (*envoy.Resource, error) {
	ipv6 := hasIPv6(w)
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
	ports := inboundPorts(w)
	g := guard{settings: s, http: policy.HTTP(s, policies), tcp: policy.TCP(s, policies)}
	for _, p := range ports {
		for _, a := range accept(p.mode, p.protocol) {
			l.FilterChains = append(l.FilterChains, p.chain(g, a))
		}
	}
	inspectors(l, ports)
	envoy.Sniff(l)
	return envoy.NewResource(l.Name, l)
}

// InboundClusters of a workload: one for each port that a service names, and
// one for all others. They lead to the address that the client meant, from a
// source address that is not redirected again.
func InboundClusters(s *model.Settings, w *model.Workload) ([]*envoy.Resource, error) {
	var out []*envoy.Resource
	add := func(name string, p model.Protocol) error {
		c := originalDst(s, name)
		speak(c, p, Reach{})
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
		c.UpstreamBindConfig = bind
		r, err := envoy.NewResource(name, c)
		out = append(out, r)
		return err
	}
	for _, p := range w.Inbound {
		if err := add(envoy.Inbound(p.Port), p.Protocol); err != nil {
			return nil, err
		}
	}
	if err := add(envoy.InboundPassthroughCluster, model.Auto); err != nil {
		return nil, err
	}
	return out, nil
}

func hasIPv6(w *model.Workload) bool {
	for _, a := range w.Addresses {
		if a.Is6() && !a.Is4In6() {
			return true
		}
	}
	return false
}
