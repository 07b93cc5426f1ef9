// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	quicv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/quic/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// overQUIC is whether a listener of HTTP over TLS has HTTP/3, too. Where it wants it and
// can't have it, that is told, and clients are not told to try.
func (t *translation) overQUIC(b *bind, a attached) bool {
	switch {
	case !a.listener.HTTP3 || b.withoutHTTP3():
		return false
	case a.listener.TLS.Mode != model.TerminateTLS:
		t.report(a.problem(".tls.mode", "NotSupported", "HTTP/3 is for mode SIMPLE only: proxies ask for no client certificate over QUIC; HTTP/2 serves this listener"))
		return false
	case b.datagrams:
		t.report(a.problem(".port", "PortConflict", "UDP port %d is another listener's, so there is no HTTP/3; HTTP/2 serves this listener: give one of the two another port", b.port))
		return false
	}
	return true
}

// quic also takes HTTP/3 for a listener of HTTP over TLS, on the UDP port of
// the same number.
func (t *translation) quic(b *bind, a attached, names []string) {
	context, err := t.downstream(a, []string{"h3"})
	if err != nil {
		return // already told of the same listener over TCP
	}
	context.RequireClientCertificate = nil
	name := listenerRoutes(a)
	m := t.manager(name)
	m.CodecType = hcmv3.HttpConnectionManager_HTTP3
	m.Http3ProtocolOptions = &corev3.Http3ProtocolOptions{}
	m.Http2ProtocolOptions = nil
	socket := &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.quic",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(&quicv3.QuicDownstreamTransport{DownstreamTlsContext: context})},
	}
	l := t.quics[b.quicName()]
	if l == nil {
		l = &listenerv3.Listener{
			Name:             b.quicName(),
			TrafficDirection: corev3.TrafficDirection_OUTBOUND,
			UdpListenerConfig: &listenerv3.UdpListenerConfig{
				QuicOptions:            &listenerv3.QuicProtocolOptions{},
				DownstreamSocketConfig: &corev3.UdpSocketConfig{},
			},
		}
		t.addresses(b, l, corev3.SocketAddress_UDP)
		t.quics[b.quicName()] = l
		t.quicOrder = append(t.quicOrder, quicListener{a, l})
	}
	for _, c := range byName(name, names, func() *listenerv3.FilterChain {
		return &listenerv3.FilterChain{TransportSocket: socket, Filters: []*listenerv3.Filter{envoy.HTTPManagerFilter(m)}}
	}) {
		c.FilterChainMatch.TransportProtocol = "quic"
		l.FilterChains = append(l.FilterChains, c)
	}
}

// quicName of the listener of HTTP/3 where others are taken by TCP.
func (b *bind) quicName() string {
	return (&bind{address: b.address, port: b.port, speech: speaksUDP}).name()
}

// quicListener is a listener of HTTP/3, and who first wanted it.
type quicListener struct {
	first    attached
	listener *listenerv3.Listener
}
