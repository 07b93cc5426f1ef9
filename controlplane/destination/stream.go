// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"net"
	"strconv"
	"strings"
	"time"

	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Stream is how connections to a target are proxied: what a policy says of
// them that is no matter of the cluster. The zero value changes nothing.
type Stream struct {
	// IdleTimeout; nil for Envoy's, 0 for none.
	IdleTimeout *time.Duration
	// MaxAge of a connection; nil for none.
	MaxAge *time.Duration
	// SourceIP is what the balancer hashes.
	SourceIP bool
	// Tunnel through an HTTP proxy; nil for none.
	Tunnel *model.Tunnel
}

// StreamOf a target, for its TCP proxies.
func StreamOf(t Target) Stream {
	p := t.PortPolicy()
	if p == nil {
		return Stream{}
	}
	out := Stream{}
	if whole := t.traffic(); whole != nil {
		out.Tunnel = whole.Tunnel
	}
	if c := p.Connections; c != nil {
		out.IdleTimeout, out.MaxAge = c.TCPIdleTimeout, c.MaxConnectionAge
	}
	if b := p.Balancer; b != nil && b.Hash != nil && (b.Kind == model.RingHash || b.Kind == model.Maglev) {
		out.SourceIP = b.Hash.SourceIP
	}
	return out
}

// Apply it to a TCP proxy.
func (s Stream) Apply(p *tcpproxyv3.TcpProxy) {
	if s.IdleTimeout != nil && *s.IdleTimeout >= 0 {
		p.IdleTimeout = durationpb.New(*s.IdleTimeout)
	}
	if s.MaxAge != nil && *s.MaxAge > 0 {
		p.MaxDownstreamConnectionDuration = durationpb.New(max(*s.MaxAge, time.Millisecond))
	}
	if s.SourceIP {
		p.HashPolicy = []*typev3.HashPolicy{{PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}}}}
	}
	if t := s.Tunnel; t != nil {
		p.TunnelingConfig = &tcpproxyv3.TcpProxy_TunnelingConfig{
			// Envoy reads command operators in it.
			Hostname: strings.ReplaceAll(net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))), "%", "%%"),
			UsePost:  t.Method == "POST",
		}
	}
}
