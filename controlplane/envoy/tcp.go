// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TCPFilter names the TCP proxy.
const TCPFilter = "envoy.filters.network.tcp_proxy"

// HelloTimeout is how long a client of an east-west gateway may take to begin
// TLS. Who says nothing is closed.
const HelloTimeout = 5 * time.Second

// HTTPSniffed are the application protocols that the HTTP inspector tells.
var HTTPSniffed = []string{"http/1.0", "http/1.1", "h2c"}

// TCPProxy sends a connection to one cluster; its caller adds what differs.
func TCPProxy(s *model.Settings, cluster string) *tcpproxyv3.TcpProxy {
	return &tcpproxyv3.TcpProxy{
		StatPrefix:       cluster,
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
		AccessLog:        accessLog(s, connections),
	}
}

// TCPProxyFilter wraps a TCP proxy as a network filter.
func TCPProxyFilter(p *tcpproxyv3.TcpProxy) *listenerv3.Filter {
	return &listenerv3.Filter{Name: TCPFilter, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: Any(p)}}
}

// OriginalDst restores the address that the client meant before redirection.
func OriginalDst() *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{
		Name:       "envoy.filters.listener.original_dst",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: Any(&originaldstv3.OriginalDst{})},
	}
}

// TLSInspector tells TLS, its server name and its application protocols.
func TLSInspector() *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{
		Name:       "envoy.filters.listener.tls_inspector",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: Any(&tlsinspectorv3.TlsInspector{})},
	}
}

// HTTPInspector tells plain HTTP from other protocols.
func HTTPInspector() *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{
		Name:       "envoy.filters.listener.http_inspector",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: Any(&httpinspectorv3.HttpInspector{})},
	}
}

// Sniff makes a listener wait for its inspectors for as long as MeshConfig's
// protocolDetectionTimeout says, and go on without their verdict then. Without
// one it waits however long nothing comes, as Istio does: what goes on untold goes
// past all rules for HTTP, and connections that clients open in advance are silent
// for long.
func Sniff(s *model.Settings, l *listenerv3.Listener) {
	if s.DetectionMillis <= 0 {
		SniffPatiently(l)
		return
	}
	l.ListenerFiltersTimeout = Milliseconds(s.DetectionMillis)
	l.ContinueOnListenerFiltersTimeout = true
}

// SniffPatiently makes a listener wait for its inspectors however long nothing comes.
func SniffPatiently(l *listenerv3.Listener) {
	l.ListenerFiltersTimeout = durationpb.New(0)
	l.ContinueOnListenerFiltersTimeout = false
}
