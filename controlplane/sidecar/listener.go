// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// connectAttempts lets a TCP connection try another endpoint when one refuses.
const connectAttempts = 3

// reserved ports are the proxy's own: a listener of all addresses would clash
// with one that is really bound there.
var reserved = []uint16{15000, envoy.OutboundPort, envoy.InboundPort, 15020, 15021, 15053, 15090}

// SharesPort is true when a service port is served by the listener that all
// HTTP services of that port share.
func SharesPort(svc *model.Service, p model.Port) bool {
	return p.Protocol.IsHTTP() && !slices.Contains(reserved, p.Number)
}

// VirtualOutbound takes every connection that the workload opens and hands it to
// the listener of the address it was meant for; what none has goes through, or
// nowhere.
func VirtualOutbound(s *model.Settings, ipv6 bool) (*envoy.Resource, error) {
	l := listener(envoy.VirtualOutbound, "0.0.0.0", envoy.OutboundPort, ipv6)
	l.BindToPort = nil
	l.UseOriginalDst = wrapperspb.Bool(true)
	l.AccessLog = envoy.RefusedLog(s)
	l.FilterChains = []*listenerv3.FilterChain{{
		// Who calls this port itself would go round in circles.
		Name:             envoy.VirtualOutbound + "-trap",
		FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(envoy.OutboundPort)},
		Filters:          []*listenerv3.Filter{envoy.TCPProxyFilter(envoy.TCPProxy(s, envoy.BlackHoleCluster))},
	}}
	l.DefaultFilterChain = unknown(s)
	return envoy.NewResource(l.Name, l)
}

// PortListener is shared by the HTTP services of one port: they are told apart
// by the request's host.
func PortListener(s *model.Settings, port uint16, ipv6 bool) (*envoy.Resource, error) {
	l := listener(envoy.PortListener(port), "0.0.0.0", port, ipv6)
	sniffHTTP(l)
	l.FilterChains = []*listenerv3.FilterChain{httpChain(s, l.Name, envoy.PortRoute(port), nil)}
	l.DefaultFilterChain = unknown(s)
	return envoy.NewResource(l.Name, l)
}

// AddressListeners of a service: one for each of its addresses and each port
// that is told by the address.
func AddressListeners(s *model.Settings, svc *model.Service) ([]*envoy.Resource, error) {
	var out []*envoy.Resource
	for i, p := range svc.Ports {
		if svc.Kind == model.ExternalName || SharesPort(svc, p) {
			continue
		}
		for _, address := range svc.Addresses {
			r, err := addressListener(s, svc, i, address)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func addressListener(s *model.Settings, svc *model.Service, port int, address netip.Addr) (*envoy.Resource, error) {
	p := svc.Ports[port]
	l := listener(envoy.AddressListener(address, p.Number), address.String(), p.Number, false)
	cluster := envoy.Outbound(p.Number, svc.Hostname)
	switch {
	case p.Protocol.IsHTTP():
		l.FilterChains = []*listenerv3.FilterChain{httpChain(s, l.Name, envoy.ServiceRoute(p.Number, svc.Hostname), nil)}
		l.FilterChains[0].FilterChainMatch = nil
	case p.Protocol == model.Auto:
		sniffHTTP(l)
		l.FilterChains = []*listenerv3.FilterChain{httpChain(s, l.Name, envoy.ServiceRoute(p.Number, svc.Hostname), envoy.OfferHTTP())}
		l.DefaultFilterChain = tcpChain(s, cluster, nil)
	default:
		l.FilterChains = []*listenerv3.FilterChain{tcpChain(s, cluster, nil)}
	}
	return envoy.NewResource(l.Name, l)
}

// PodListeners of one port of a headless service without an address of its own:
// its callers look the pods up and mean the one whose address they take.
func PodListeners(s *model.Settings, svc *model.Service, port int, set *model.EndpointSet) ([]*envoy.Resource, error) {
	p := svc.Ports[port]
	if svc.Kind != model.Headless || SharesPort(svc, p) {
		return nil, nil
	}
	var out []*envoy.Resource
	seen := make(map[netip.Addr]bool, len(set.Endpoints))
	for i := range set.Endpoints {
		e := &set.Endpoints[i]
		address, err := netip.ParseAddr(e.Address)
		if err != nil || e.Gateway || seen[address] {
			continue
		}
		seen[address] = true
		l := listener(envoy.AddressListener(address, e.Port), e.Address, e.Port, false)
		l.FilterChains = []*listenerv3.FilterChain{
			tcpChain(s, envoy.Outbound(p.Number, svc.Hostname), envoy.Metadata(subsetMatch, map[string]string{podAddress: e.Address})),
		}
		r, err := envoy.NewResource(l.Name, l)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// listener of an address that virtualOutbound hands connections to; it binds
// nothing itself.
func listener(name, address string, port uint16, ipv6 bool) *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name:             name,
		Address:          envoy.Address(address, port),
		BindToPort:       wrapperspb.Bool(false),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
	}
	if ipv6 {
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: envoy.Address("::", port)}}
	}
	return l
}

func sniffHTTP(l *listenerv3.Listener) {
	l.ListenerFilters = []*listenerv3.ListenerFilter{envoy.HTTPInspector()}
	envoy.Sniff(l)
}

// httpChain takes plain HTTP.
func httpChain(s *model.Settings, name, route string, filter *hcmv3.HttpFilter) *listenerv3.FilterChain {
	m := envoy.HTTPManager(s, "outbound_"+name)
	m.RouteSpecifier = envoy.RDS(route)
	if filter != nil {
		m.HttpFilters = append([]*hcmv3.HttpFilter{filter}, m.HttpFilters...)
	}
	return &listenerv3.FilterChain{
		FilterChainMatch: &listenerv3.FilterChainMatch{ApplicationProtocols: envoy.HTTPSniffed},
		Filters:          []*listenerv3.Filter{envoy.HTTPManagerFilter(m)},
	}
}

// tcpChain takes everything; endpoint, when given, narrows the cluster down.
func tcpChain(s *model.Settings, cluster string, endpoint *corev3.Metadata) *listenerv3.FilterChain {
	p := envoy.TCPProxy(s, cluster)
	p.MetadataMatch = endpoint
	p.MaxConnectAttempts = wrapperspb.UInt32(connectAttempts)
	return &listenerv3.FilterChain{Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(p)}}
}

// unknown takes connections to hosts that the mesh doesn't know.
func unknown(s *model.Settings) *listenerv3.FilterChain {
	var p *tcpproxyv3.TcpProxy
	if s.OutboundRegistryOnly {
		p = envoy.TCPProxy(s, envoy.BlackHoleCluster)
	} else {
		p = envoy.TCPProxy(s, envoy.PassthroughCluster)
	}
	return &listenerv3.FilterChain{Name: p.StatPrefix, Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(p)}}
}
