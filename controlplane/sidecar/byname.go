// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"slices"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// unknownPatience is how long a connection to a host that the mesh doesn't know
// may be silent before it is taken for something else than HTTP.
const unknownPatience = 5 * time.Second

// serverFirst are ports on which servers speak first, as Istio knows them.
var serverFirst = []uint16{25, 53, 3306, 27017}

// BytePorts are the ports of services on which no HTTP is expected, sorted.
func BytePorts(services []model.ServiceState) []uint16 {
	var out []uint16
	for _, st := range services {
		for _, p := range st.Service.Ports {
			if p.Protocol == model.TCP || p.Protocol == model.TLS {
				out = append(out, p.Number)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// byName makes virtualOutbound look for HTTP to hosts that the mesh doesn't know,
// which goes to the host that a request names. Nothing is lost for what is silent at first:
// no rule is about such hosts, so it goes where it was meant to. Connections to services come
// by here too, before they are handed to their own listeners, so where a service takes bytes
// nothing is looked for: its server may speak first.
func byName(s *model.Settings, l *listenerv3.Listener, bytes []uint16) {
	m := envoy.HTTPManager(s, "outbound_"+envoy.ByNameCluster)
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
		Name:             "allow_any_dynamic_dns",
		VirtualHosts:     []*routev3.VirtualHost{elsewhere(s)},
		ValidateClusters: wrapperspb.Bool(false),
	}}
	standardmetrics.CountRequests(s, standardmetrics.Outbound, m)
	m.HttpFilters = append([]*hcmv3.HttpFilter{hostLookup(s)}, m.HttpFilters...)
	l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{
		Name:             envoy.VirtualOutbound + "-http",
		FilterChainMatch: &listenerv3.FilterChainMatch{ApplicationProtocols: envoy.HTTPSniffed},
		Filters:          []*listenerv3.Filter{envoy.HTTPManagerFilter(m)},
	})
	inspector := envoy.HTTPInspector()
	closed := slices.Concat(serverFirst, bytes)
	slices.Sort(closed)
	inspector.FilterDisabled = onPorts(slices.Compact(closed))
	// Else who is silent would be meant for this very port.
	l.ListenerFilters = []*listenerv3.ListenerFilter{envoy.OriginalDst(), inspector}
	envoy.Sniff(s, l)
	if s.DetectionMillis == 0 {
		l.ListenerFiltersTimeout = durationpb.New(unknownPatience)
		l.ContinueOnListenerFiltersTimeout = true
	}
}

// ByName is the cluster of hosts that the mesh doesn't know and requests name.
func ByName(s *model.Settings) (*envoy.Resource, []model.Problem, error) {
	call := Call{Settings: s, Service: &model.Service{
		Hostname: "*", Kind: model.ClusterIP, Resolution: model.ByHost, External: true,
		Ports: []model.Port{{Name: "http", Number: 80}},
	}, Policy: ByNamePolicy(s)}
	t := call.targets(0)[0]
	made := outbound(s, t, Reach{})
	made.Name, made.Metadata = envoy.ByNameCluster, standardmetrics.Named(envoy.ByNameCluster)
	problems := destination.Apply(made, t)
	call.discover(made, t, nil, destination.Caller{})
	r, err := envoy.NewResource(made.Name, made)
	return r, problems, err
}

// ByNamePolicy is what MeshConfig says of calls to hosts that the mesh doesn't
// know, as if a DestinationRule had said it; nil for nothing.
func ByNamePolicy(s *model.Settings) *model.DestinationPolicy {
	if !s.OutboundByName || s.OutboundTLS == nil {
		return nil
	}
	return &model.DestinationPolicy{Host: "*", Policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{TLS: s.OutboundTLS}}}
}
