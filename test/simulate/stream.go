// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"time"

	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
)

// stream is what a TCP proxy does with a connection beside sending it on.
func (out *Request) stream(p *tcpproxyv3.TcpProxy) {
	for _, w := range p.GetWeightedClusters().GetClusters() {
		out.Clusters = append(out.Clusters, Weighted{Cluster: w.GetName(), Weight: w.GetWeight()})
	}
	// An hour is Envoy's own.
	if d := p.GetIdleTimeout(); d != nil && d.AsDuration() != time.Hour {
		out.Idle = d.AsDuration().String()
	}
	if d := p.GetMaxDownstreamConnectionDuration(); d != nil {
		out.Age = d.AsDuration().String()
	}
	if t := p.GetTunnelingConfig(); t != nil {
		out.Tunnel = "CONNECT " + t.GetHostname()
		if t.GetUsePost() {
			out.Tunnel = "POST " + t.GetHostname()
		}
	}
	if len(p.GetHashPolicy()) > 0 {
		out.Hash = []string{"the caller's address"}
	}
}
