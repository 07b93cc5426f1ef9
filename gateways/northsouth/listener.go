// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// helloTimeout is how long a client may take to say hello in TLS, or to send
// the PROXY protocol's line. Who says nothing is closed.
const helloTimeout = 15 * time.Second

// listen adds what serves a port.
func (t *translation) listen(b *bind) {
	if b.speech == speaksUDP {
		t.datagrams(b)
		return
	}
	l := t.listener(b)
	switch b.speech {
	case speaksHTTP:
		t.routes(b.plainRoutes(), b.of, nil, false)
		m := t.manager(b.plainRoutes())
		if slices.ContainsFunc(b.of, func(a attached) bool { return a.listener.GRPCWeb }) {
			m.HttpFilters = slices.Insert(m.GetHttpFilters(), len(m.GetHttpFilters())-1, envoy.GRPCWeb(false))
		}
		l.FilterChains = []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{envoy.HTTPManagerFilter(m)}}}
	case speaksTLS:
		l.ListenerFilters = append(l.ListenerFilters, envoy.TLSInspector())
		t.secured(b, l)
	default:
		t.streams(b, l)
	}
	if len(l.FilterChains) == 0 {
		// Nobody takes anything there, and Envoy takes no listener without a chain.
		return
	}
	if len(l.ListenerFilters) > 0 {
		l.ListenerFiltersTimeout = durationpb.New(helloTimeout)
	}
	t.add(&t.out.Listeners, b.of[0], l.Name, l)
}

// listener of a port, without chains.
func (t *translation) listener(b *bind) *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name:             b.name(),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		AccessLog:        envoy.RefusedLog(t.Mesh.Settings),
	}
	t.addresses(b, l, corev3.SocketAddress_TCP)
	if t.Proxy.Topology.ProxyProtocol {
		l.ListenerFilters = append(l.ListenerFilters, &listenerv3.ListenerFilter{
			Name:       "envoy.filters.listener.proxy_protocol",
			ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: envoy.Any(&proxyprotocolv3.ProxyProtocol{})},
		})
	}
	return l
}

// addresses that a listener binds: what the gateway says, else all of the
// families that the pod has.
func (t *translation) addresses(b *bind, l *listenerv3.Listener, protocol corev3.SocketAddress_Protocol) {
	if path, ok := strings.CutPrefix(b.address, "unix://"); ok {
		l.Address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
		return
	}
	at := func(ip string) *corev3.Address {
		a := envoy.Address(ip, b.port)
		a.GetSocketAddress().Protocol = protocol
		return a
	}
	switch {
	case b.address != "" || !t.Proxy.IPv6:
		l.Address = at(cmp.Or(b.address, "0.0.0.0"))
	case !t.Proxy.IPv4:
		l.Address = at("::")
	default:
		l.Address = at("0.0.0.0")
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: at("::")}}
	}
}
