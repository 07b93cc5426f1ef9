// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// acceptance is one kind of connection that a port takes.
type acceptance struct {
	// mesh: mutual TLS, ended here.
	mesh bool
	// own: TLS of the application's, ended here.
	own bool
	// transport and alpn are what the inspectors must have told; empty takes any.
	transport string
	alpn      []string
	// http: as requests; else as bytes.
	http bool
}

// place that it is counted at.
func (a acceptance) place() standardmetrics.Place {
	if a.mesh {
		return standardmetrics.Mutual
	}
	return standardmetrics.Plain
}

// accept lists what a port of a mode and protocol takes. What is not listed is
// closed: Envoy looks no further once a port, and on it a transport, has chains
// of its own.
//
// Mesh TLS is told from an application's own by the application protocols that
// the client offers. Where nothing but mesh TLS is taken, so is what offers others
// or none, but by chains of its own: those for the mesh's own clients are the same
// in PERMISSIVE and STRICT, so a change between the two ends none of their
// connections (Envoy drains the chains that change).
func accept(mode model.MTLSMode, protocol model.Protocol) []acceptance {
	var out []acceptance
	if mode != model.Disable {
		rest := envoy.MeshALPN
		if protocol == model.Auto {
			out = append(out, acceptance{mesh: true, transport: "tls", alpn: envoy.MeshHTTPALPN, http: true})
			rest = envoy.MeshTCPALPN
		}
		out = append(out, acceptance{mesh: true, transport: "tls", alpn: rest, http: protocol.IsHTTP()})
		if mode == model.Strict {
			out = append(out, acceptance{mesh: true, transport: "tls", http: protocol.IsHTTP()})
		}
	}
	if mode == model.Strict {
		return out
	}
	switch {
	case protocol.IsHTTP():
		out = append(out, acceptance{transport: "raw_buffer", http: true})
	case protocol == model.Auto:
		out = append(out, acceptance{transport: "raw_buffer", alpn: envoy.HTTPSniffed, http: true}, acceptance{transport: "raw_buffer"})
	case mode == model.Disable:
		// Nothing to tell apart, so nothing to wait for.
		return append(out, acceptance{})
	default:
		out = append(out, acceptance{transport: "raw_buffer"})
	}
	return append(out, acceptance{transport: "tls"})
}

// accepts lists what the port takes. Where TLS is the application's own and is
// ended here, nothing but it is.
func (p inboundPort) accepts() []acceptance {
	switch {
	case p.closed:
		return nil
	case p.socket == nil:
		return accept(p.mode, p.protocol)
	case p.protocol == model.Auto:
		return []acceptance{{own: true, transport: "tls", alpn: ownALPN, http: true}, {own: true, transport: "tls"}}
	default:
		return []acceptance{{own: true, transport: "tls", http: p.protocol.IsHTTP()}}
	}
}

// chains of the port.
func (p inboundPort) chains(g guard) []*listenerv3.FilterChain {
	if p.closed {
		return []*listenerv3.FilterChain{{
			Name:             p.cluster + "-closed",
			FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(uint32(p.port))},
			Filters:          []*listenerv3.Filter{envoy.TCPProxyFilter(envoy.TCPProxy(g.settings, envoy.BlackHoleCluster))},
		}}
	}
	var out []*listenerv3.FilterChain
	for _, a := range p.accepts() {
		out = append(out, p.chain(g, a))
	}
	return out
}

// guard holds the filters of a workload's policies. They are the same on every
// port, and what they know of ports they ask the connection.
type guard struct {
	settings *model.Settings
	http     []*hcmv3.HttpFilter
	tcp      []*listenerv3.Filter
}

// chain of one port for one kind of connection.
func (p inboundPort) chain(g guard, a acceptance) *listenerv3.FilterChain {
	match := &listenerv3.FilterChainMatch{TransportProtocol: a.transport, ApplicationProtocols: a.alpn}
	name := envoy.VirtualInbound
	if p.port != 0 {
		match.DestinationPort = wrapperspb.UInt32(uint32(p.port))
		name = p.cluster
	}
	c := &listenerv3.FilterChain{Name: name, FilterChainMatch: match}
	switch {
	case a.mesh:
		c.TransportSocket = envoy.ServerTLS(g.settings.MeshTLS)
	case a.own:
		c.TransportSocket = p.socket
	}
	if a.http {
		c.Filters = []*listenerv3.Filter{envoy.HTTPManagerFilter(p.manager(g, a))}
		return c
	}
	proxy := envoy.TCPProxy(g.settings, p.cluster)
	destination.StreamOf(destination.Limited(p.pool)).Apply(proxy)
	standardmetrics.CountConnections(g.settings, a.place(), proxy)
	if a.mesh {
		// The application hears of a connection only when its client has proved
		// who it is; the access log knows it from the start.
		proxy.UpstreamConnectMode = tcpproxyv3.UpstreamConnectMode_ON_DOWNSTREAM_TLS_HANDSHAKE
		proxy.MaxEarlyDataBytes = wrapperspb.UInt32(0)
	}
	c.Filters = append(slices.Clone(g.tcp), envoy.TCPProxyFilter(proxy))
	return c
}

// unsent requests are tried again, as in Istio: an application may close a
// connection just when a request is about to go over it. Read only.
var unsent = &routev3.RetryPolicy{RetryOn: "reset-before-request", NumRetries: wrapperspb.UInt32(2)}

// again says which requests to the application are tried again: with gRPC none,
// as in Istio, since its streams have ways of their own to say so.
func (p inboundPort) again() *routev3.RetryPolicy {
	if p.protocol == model.GRPC || p.protocol == model.GRPCWeb {
		return nil
	}
	return unsent
}

// fromProxies are headers that proxies of the mesh tell each other. Envoy itself
// drops those that would change what it does.
var fromProxies = []string{
	"x-envoy-decorator-operation",
	"x-envoy-downstream-service-cluster",
	"x-envoy-downstream-service-node",
	"x-envoy-external-address",
	"x-envoy-original-host",
	"x-envoy-original-path",
	"x-envoy-peer-metadata",
	"x-envoy-peer-metadata-id",
}

func (p inboundPort) manager(g guard, a acceptance) *hcmv3.HttpConnectionManager {
	m := envoy.HTTPManager(g.settings, p.cluster)
	standardmetrics.CountRequests(g.settings, a.place(), m)
	filters := slices.Clone(g.http)
	if p.protocol == model.GRPCWeb {
		filters = append(filters, envoy.GRPCWeb(false))
	}
	m.HttpFilters = append(filters, m.HttpFilters...)
	m.ServerName = "istio-envoy"
	m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_APPEND_FORWARD
	m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{
		Subject: wrapperspb.Bool(true), Uri: true, Dns: true,
	}
	if a.own {
		// Who else's certificates are trusted here says nothing for a header.
		m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
	}
	var untrusted []string
	var first []*routev3.Route
	if a.mesh {
		m.LocalReplyConfig = sayUnreached()
		first = []*routev3.Route{refuseTerminating()}
	} else {
		untrusted = fromProxies
	}
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
		Name:                    p.cluster,
		ValidateClusters:        wrapperspb.Bool(false),
		RequestHeadersToRemove:  untrusted,
		ResponseHeadersToRemove: []string{unreachedHeader}, // an application can't say it
		// A route that says it does so after the removal.
		MostSpecificHeaderMutationsWins: true,
		VirtualHosts: []*routev3.VirtualHost{{
			Name:    envoy.InboundHost(cmp.Or(p.service, p.port)),
			Domains: []string{"*"},
			Routes: append(first, &routev3.Route{
				Name:  "default",
				Match: envoy.EveryPath(),
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: p.cluster},
					RetryPolicy:      p.again(),
					Timeout:          durationpb.New(0),
					MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{
						MaxStreamDuration:    durationpb.New(0),
						GrpcTimeoutHeaderMax: durationpb.New(0),
					},
				}},
			}),
		}},
	}}
	return m
}

// inspectors of the inbound listener. Each waits for the client's first bytes,
// so a port has only those that its chains ask for. Those of PERMISSIVE and STRICT are
// the same, though STRICT looks at nothing but TLS: another inspector is another
// listener, and Envoy drains all connections of the old one.
func inspectors(l *listenerv3.Listener, ports []inboundPort) {
	var noTLS, noHTTP []uint16
	for _, p := range ports {
		if p.port == 0 {
			continue
		}
		if !slices.ContainsFunc(p.accepts(), func(a acceptance) bool { return a.transport != "" }) {
			noTLS = append(noTLS, p.port)
		}
		if p.closed || p.socket != nil || p.protocol != model.Auto {
			noHTTP = append(noHTTP, p.port)
		}
	}
	t, h := envoy.TLSInspector(), envoy.HTTPInspector()
	t.FilterDisabled, h.FilterDisabled = onPorts(noTLS), onPorts(noHTTP)
	l.ListenerFilters = []*listenerv3.ListenerFilter{envoy.OriginalDst(), t, h}
}

// onPorts matches connections that are meant for one of the ports; nil matches none.
func onPorts(ports []uint16) *listenerv3.ListenerFilterChainMatchPredicate {
	rules := make([]*listenerv3.ListenerFilterChainMatchPredicate, len(ports))
	for i, p := range ports {
		rules[i] = &listenerv3.ListenerFilterChainMatchPredicate{
			Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
				DestinationPortRange: &typev3.Int32Range{Start: int32(p), End: int32(p) + 1},
			},
		}
	}
	switch len(rules) {
	case 0:
		return nil
	case 1:
		return rules[0]
	}
	return &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_OrMatch{
		OrMatch: &listenerv3.ListenerFilterChainMatchPredicate_MatchSet{Rules: rules},
	}}
}
