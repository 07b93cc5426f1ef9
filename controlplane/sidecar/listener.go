// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// connectAttempts lets a TCP connection try another endpoint when one refuses.
const connectAttempts = 3

// reserved ports are the proxy's own: a listener of all addresses would clash
// with one that is really bound there.
var reserved = []uint16{15000, envoy.OutboundPort, envoy.InboundPort, 15020, 15021, 15053, 15090}

// SharesPort is true when a service port is served by the listener that all
// HTTP services of that port share.
func SharesPort(svc *model.Service, p model.Port) bool {
	if slices.Contains(reserved, p.Number) {
		return false
	}
	return p.Protocol.IsHTTP() || p.Protocol == model.Auto && svc.Kind == model.ClusterIP && len(svc.Addresses) == 0
}

// VirtualOutbound takes every connection that the workload opens and hands it to
// the listener of the address it was meant for; what none has goes through, or
// nowhere. bytes are the ports of services that aren't HTTP; they matter where
// unknown hosts are looked up (BytePorts).
func VirtualOutbound(s *model.Settings, ipv6 bool, bytes []uint16) (*envoy.Resource, error) {
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
	if s.OutboundByName {
		byName(s, l, bytes)
	}
	return envoy.NewResource(l.Name, l)
}

// SharedPort is what a port takes of services that no address tells apart.
type SharedPort struct {
	// HTTP is told apart by the request's host.
	HTTP bool
	// Lookup: some of it goes to the host that the request names.
	Lookup bool
	// GRPCWeb: some of it may come as gRPC-Web.
	GRPCWeb bool
	// Chains take connections by server name or destination.
	Chains []*listenerv3.FilterChain
	// Rest takes what nothing else does; nil leaves it to hosts that the mesh doesn't know.
	Rest *listenerv3.FilterChain
}

// PortListener is shared by the services of one port that no address tells
// apart: HTTP by the request's host, TLS by the server name.
func PortListener(s *model.Settings, port uint16, ipv6 bool, shared SharedPort) (*envoy.Resource, error) {
	l := listener(envoy.PortListener(port), "0.0.0.0", port, ipv6)
	l.FilterChains = shared.Chains
	if shared.HTTP {
		l.FilterChains = append(l.FilterChains[:len(l.FilterChains):len(l.FilterChains)], httpChain(s, l.Name, envoy.PortRoute(port), shared.filters(), shared.Lookup))
	}
	inspect(s, l)
	l.DefaultFilterChain = shared.Rest
	if shared.Rest == nil {
		l.DefaultFilterChain = unknown(s)
	}
	return envoy.NewResource(l.Name, l)
}

// inspect puts the inspectors into a listener that its chains ask for. Only where
// HTTP is looked for does the mesh's patience count, as in Istio: TLS that is told by
// its server name has nowhere to go without it.
func inspect(s *model.Settings, l *listenerv3.Listener) {
	var tls, http bool
	for _, c := range l.FilterChains {
		m := c.GetFilterChainMatch()
		tls = tls || m.GetTransportProtocol() == "tls" || len(m.GetServerNames()) > 0
		http = http || len(m.GetApplicationProtocols()) > 0
	}
	l.ListenerFilters = nil
	if tls {
		l.ListenerFilters = append(l.ListenerFilters, envoy.TLSInspector())
	}
	if http {
		l.ListenerFilters = append(l.ListenerFilters, envoy.HTTPInspector())
	}
	switch {
	case http:
		envoy.Sniff(s, l)
	case tls:
		envoy.SniffPatiently(l)
	}
}

// SharedChains of a service port that no address tells, or not for everybody:
// TLS is told by the server name, which is the service's hostname; rest takes
// bytes that nothing tells.
func (c Call) SharedChains(port int) (chains []*listenerv3.FilterChain, rest *listenerv3.FilterChain, problems []model.Problem) {
	svc := c.Service
	p := svc.Ports[port]
	if !svc.External && len(svc.Addresses) > 0 && len(svc.Ranges) == 0 || svc.Kind != model.ClusterIP || p.Protocol.IsHTTP() || slices.Contains(reserved, p.Number) {
		return nil, nil, nil
	}
	chains, rest, problems = c.told(port)
	if len(svc.Addresses) > 0 || p.Protocol == model.Auto {
		// Bytes are told by the address, or are nobody's.
		rest = nil
	}
	return chains, rest, problems
}

// ByServerName are the chains of a port where no address tells the service;
// its problems have been told where its own listeners are made.
func (c Call) ByServerName(port int) (chains []*listenerv3.FilterChain, rest *listenerv3.FilterChain) {
	chains, rest, _ = c.told(port)
	return chains, rest
}

// told apart by the server name: TLS; rest takes bytes.
func (c Call) told(port int) (chains []*listenerv3.FilterChain, rest *listenerv3.FilterChain, problems []model.Problem) {
	svc := c.Service
	p := svc.Ports[port]
	routed, problems := c.chains(p.Number)
	for _, r := range routed {
		subnets := len(r.GetFilterChainMatch().GetPrefixRanges()) > 0 && len(svc.Addresses) == 0
		if subnets || r.GetFilterChainMatch().GetTransportProtocol() == "tls" {
			chains = append(chains, r)
		} else if r.GetFilterChainMatch() == nil && rest == nil {
			rest = r
		}
	}
	own := c.tcpChain(port)
	switch {
	case len(routed) > 0:
	case p.Protocol != model.TCP && svc.Hostname != "*":
		own.FilterChainMatch = &listenerv3.FilterChainMatch{TransportProtocol: "tls", ServerNames: []string{string(svc.Hostname)}}
		chains = append(chains, own)
	default:
		rest = own
	}
	if len(svc.Ranges) > 0 {
		if rest == nil && p.Protocol == model.TCP {
			// What no rule takes is the entry's still: the address says so.
			rest = own
		}
		return c.inRanges(port, chains, rest), nil, problems
	}
	return chains, rest, problems
}

// HostChains are the chains of a host that is no service by itself but has
// routings, on a port.
func (c Call) HostChains(port uint16) ([]*listenerv3.FilterChain, []model.Problem) {
	if slices.Contains(reserved, port) {
		return nil, nil
	}
	routed, problems := c.chains(port)
	routed = slices.DeleteFunc(routed, func(r *listenerv3.FilterChain) bool { return r.GetFilterChainMatch().GetTransportProtocol() != "tls" })
	return routed, problems
}

// AddressListeners of a port of a service that is told by the address: one for
// each of the service's addresses.
func (c Call) AddressListeners(port int) ([]*envoy.Resource, []model.Problem, error) {
	svc := c.Service
	p := svc.Ports[port]
	if svc.Kind == model.ExternalName || SharesPort(svc, p) && !c.HTTPByAddress(port) || len(svc.Addresses) == 0 {
		return nil, nil, nil
	}
	var routed []*listenerv3.FilterChain
	var problems []model.Problem
	if !p.Protocol.IsHTTP() {
		routed, problems = c.chains(p.Number)
	}
	var out []*envoy.Resource
	for _, address := range svc.Addresses {
		r, err := c.addressListener(port, address, routed)
		if err != nil {
			return nil, problems, err
		}
		out = append(out, r)
	}
	return out, problems, nil
}

func (c Call) addressListener(port int, address netip.Addr, routed []*listenerv3.FilterChain) (*envoy.Resource, error) {
	s, svc := c.Settings, c.Service
	p := svc.Ports[port]
	l := listener(envoy.AddressListener(address, p.Number), address.String(), p.Number, false)
	route := envoy.ServiceRoute(p.Number, svc.Hostname)
	if p.Protocol.IsHTTP() {
		l.FilterChains = []*listenerv3.FilterChain{httpChain(s, l.Name, route, SharedPort{GRPCWeb: p.Protocol == model.GRPCWeb}.filters(), c.Lookup)}
		l.FilterChains[0].FilterChainMatch = nil
		return envoy.NewResource(l.Name, l)
	}
	if p.Protocol == model.Auto {
		l.FilterChains = []*listenerv3.FilterChain{httpChain(s, l.Name, route, []*hcmv3.HttpFilter{envoy.OfferHTTP()}, c.Lookup)}
	}
	for _, r := range routed {
		if p.Protocol == model.Auto && r.GetFilterChainMatch() == nil {
			l.DefaultFilterChain = r
		} else {
			l.FilterChains = append(l.FilterChains, r)
		}
	}
	switch {
	case l.DefaultFilterChain != nil || takesAll(routed):
	case len(l.FilterChains) > 0:
		l.DefaultFilterChain = c.unrouted(port)
	default:
		l.FilterChains = []*listenerv3.FilterChain{c.tcpChain(port)}
	}
	inspect(s, l)
	return envoy.NewResource(l.Name, l)
}

// takesAll is true when one of the chains takes every connection.
func takesAll(chains []*listenerv3.FilterChain) bool {
	return slices.ContainsFunc(chains, func(c *listenerv3.FilterChain) bool { return c.GetFilterChainMatch() == nil })
}

// unrouted takes what none of the routings' rules does, at an address that is the
// service's own: to the service itself. Only server names that no rule takes are
// unknown hosts; they are closed where such are, as in Istio.
func (c Call) unrouted(port int) *listenerv3.FilterChain {
	if c.Closed && c.Service.Ports[port].Protocol == model.TLS {
		closed := *c.Settings
		closed.OutboundRegistryOnly = true
		return unknown(&closed)
	}
	return c.tcpChain(port)
}

// PodListeners of one port of a headless service without an address of its own:
// its callers look the pods up and mean the one whose address they take, unless
// routings say otherwise.
func (c Call) PodListeners(port int, set *model.EndpointSet) ([]*envoy.Resource, []model.Problem, error) {
	svc := c.Service
	p := svc.Ports[port]
	if !HasPodListeners(svc, p) {
		return nil, nil, nil
	}
	routed, problems := c.chains(p.Number)
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
		l.FilterChains = routed
		own := c.podChain(port, e.Address)
		switch {
		case len(routed) == 0:
			l.FilterChains = []*listenerv3.FilterChain{own}
		case takesAll(routed):
		case c.Closed && p.Protocol == model.TLS:
			l.DefaultFilterChain = c.unrouted(port)
		default:
			l.DefaultFilterChain = own
		}
		inspect(c.Settings, l)
		r, err := envoy.NewResource(l.Name, l)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, r)
	}
	return out, problems, nil
}

// HasPodListeners is true for service ports that are told by the pods' addresses.
func HasPodListeners(svc *model.Service, p model.Port) bool {
	return svc.Kind == model.Headless && len(svc.Addresses) == 0 && !SharesPort(svc, p)
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

// filters of HTTP that come first.
func (p SharedPort) filters() []*hcmv3.HttpFilter {
	if p.GRPCWeb {
		return []*hcmv3.HttpFilter{envoy.GRPCWeb(true)}
	}
	return nil
}

// httpChain takes plain HTTP; before are filters that come first. lookup: some routes lead to hosts that requests name.
func httpChain(s *model.Settings, name, route string, before []*hcmv3.HttpFilter, lookup bool) *listenerv3.FilterChain {
	m := envoy.HTTPManager(s, "outbound_"+name)
	m.RouteSpecifier = envoy.RDS(route)
	standardmetrics.CountRequests(s, standardmetrics.Outbound, m)
	var after []*hcmv3.HttpFilter
	if lookup || s.OutboundByName {
		after = append(after, hostLookup(s))
	}
	m.HttpFilters = slices.Concat(before, routing.Filters(), after, m.HttpFilters)
	return &listenerv3.FilterChain{
		FilterChainMatch: &listenerv3.FilterChainMatch{ApplicationProtocols: envoy.HTTPSniffed},
		Filters:          []*listenerv3.Filter{envoy.HTTPManagerFilter(m)},
	}
}

// tcpChain takes everything to the service itself.
func (c Call) tcpChain(port int) *listenerv3.FilterChain {
	p := envoy.TCPProxy(c.Settings, envoy.Outbound(c.Service.Ports[port].Number, c.Service.Hostname))
	p.MaxConnectAttempts = wrapperspb.UInt32(connectAttempts)
	destination.StreamOf(c.targets(port)[0]).Apply(p)
	standardmetrics.CountConnections(c.Settings, standardmetrics.Outbound, p)
	chain := &listenerv3.FilterChain{Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(p)}}
	if c.Service.Resolution == model.ByHost {
		chain.Filters = slices.Insert(chain.Filters, 0, nameLookup(c.Settings, c.Service.Ports[port].Number))
	}
	return chain
}

// podChain takes everything to one endpoint of the service.
func (c Call) podChain(port int, address string) *listenerv3.FilterChain {
	p := envoy.TCPProxy(c.Settings, envoy.Outbound(c.Service.Ports[port].Number, c.Service.Hostname))
	p.MetadataMatch = envoy.Metadata(subsetMatch, map[string]string{podAddress: address})
	p.MaxConnectAttempts = wrapperspb.UInt32(connectAttempts)
	destination.StreamOf(c.targets(port)[0]).Apply(p)
	standardmetrics.CountConnections(c.Settings, standardmetrics.Outbound, p)
	return &listenerv3.FilterChain{Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(p)}}
}

// unknown takes connections to hosts that the mesh doesn't know.
func unknown(s *model.Settings) *listenerv3.FilterChain {
	var p *tcpproxyv3.TcpProxy
	if s.OutboundRegistryOnly {
		p = envoy.TCPProxy(s, envoy.BlackHoleCluster)
	} else {
		p = envoy.TCPProxy(s, cmp.Or(s.OutboundProxy, envoy.PassthroughCluster))
	}
	standardmetrics.CountConnections(s, standardmetrics.Outbound, p)
	return &listenerv3.FilterChain{Name: p.StatPrefix, Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(p)}}
}
