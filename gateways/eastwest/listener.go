// SPDX-License-Identifier: Apache-2.0

package eastwest

import (
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

const (
	// idle connections are closed; clients close theirs after the same time.
	idle = time.Hour
	// attempts to connect: another pod may take what one refuses.
	attempts = 3
)

// Listener of the gateway. It has a filter chain for each server name that it
// passes on, which is the name of the cluster that it goes to. What else comes
// is closed: other names, no name, no TLS. Envoy changes the chains in place:
// connections of a chain that stays live on, those of one that goes are closed
// when they have been drained. One more chain answers the checks of other
// members' gateways, if there are such checks. Policies see a connection as it is here: its
// addresses and its server name, and no identity, because TLS is not ended here.
func Listener(s *model.Settings, names []string, policies *policy.Chosen) (*envoy.Resource, error) {
	l := &listenerv3.Listener{
		Name:             envoy.PortListener(envoy.EastWestPort),
		Address:          envoy.Address("0.0.0.0", envoy.EastWestPort),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		AccessLog:        envoy.RefusedLog(s),
		ListenerFilters:  []*listenerv3.ListenerFilter{envoy.TLSInspector()},
		// A client that says nothing is closed.
		ListenerFiltersTimeout: durationpb.New(envoy.HelloTimeout),
	}
	guards := policy.Discovered(s, policies).TCP()
	for _, name := range names {
		l.FilterChains = append(l.FilterChains, passthrough(s, name, guards))
	}
	if s.GatewayChecks != nil {
		l.FilterChains = append(l.FilterChains, answering(s))
	}
	if len(l.FilterChains) == 0 {
		// Envoy takes no listener without a chain.
		l.FilterChains = []*listenerv3.FilterChain{nowhere(s)}
	}
	return envoy.NewResource(l.Name, l)
}

// passthrough has no transport socket: TLS is not ended here.
func passthrough(s *model.Settings, name string, guards []*listenerv3.Filter) *listenerv3.FilterChain {
	proxy := envoy.TCPProxy(s, name)
	proxy.IdleTimeout = durationpb.New(idle)
	proxy.MaxConnectAttempts = wrapperspb.UInt32(attempts)
	standardmetrics.CountConnections(s, standardmetrics.Gateway, proxy)
	return &listenerv3.FilterChain{
		Name:             name,
		FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "tls", ServerNames: []string{name}},
		Filters:          append(slices.Clone(guards), envoy.TCPProxyFilter(proxy)),
	}
}

func nowhere(s *model.Settings) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{
		Name: envoy.BlackHoleCluster,
		FilterChainMatch: &listenerv3.FilterChainMatch{
			TransportProtocol: "tls", ServerNames: []string{"nothing-is-exported.invalid"},
		},
		Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(envoy.TCPProxy(s, envoy.BlackHoleCluster))},
	}
}
