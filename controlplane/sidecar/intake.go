// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Intake is what a sidecar takes for its workload.
type Intake struct {
	Settings *model.Settings
	Workload *model.Workload
	// Scope that holds for the workload; nil for none. Its ingress listeners, if
	// there are any, stand in place of the ports that services send to.
	Scope *model.Scope
	// Limits of connections that DestinationRules set for the services of
	// Workload.Inbound, as its own namespace sees them; nil for none. They hold where
	// the Scope has none.
	Limits []*model.ConnectionPool
}

// limits of connections to the application behind one of Workload.Inbound.
func (in Intake) limits(i int) *model.ConnectionPool {
	if i >= len(in.Limits) {
		return nil
	}
	return in.Limits[i]
}

// limitsOf an ingress listener of the Scope: its own, else the Scope's, else the
// service's whose port it is.
func (in Intake) limitsOf(l *model.Ingress) *model.ConnectionPool {
	if own := cmp.Or(l.Connections, in.Scope.Inbound); own != nil {
		return own
	}
	i := slices.IndexFunc(in.Workload.Inbound, func(p model.InboundPort) bool { return p.ServicePort == l.Port })
	if i < 0 {
		return nil
	}
	return in.limits(i)
}

// inboundPort is a port of the workload and how it is taken; port 0 is every
// port that has no entry of its own.
type inboundPort struct {
	port uint16
	// service is the port of the service that it belongs to; 0 for none.
	service  uint16
	protocol model.Protocol
	mode     model.MTLSMode
	cluster  string
	// pool limits connections to the application; nil for none.
	pool *model.ConnectionPool
	// ingress is the Scope's listener; nil for the port of a service.
	ingress *model.Ingress
	// socket ends TLS that is the application's own; nil leaves it to the mode.
	socket *corev3.TransportSocket
	// closed: nothing is taken, because what was asked for can't be.
	closed bool
}

// ports of the workload: those that services, or the Scope's listeners, name,
// those that only a mode names, and the rest; sorted.
func (in Intake) ports() []inboundPort {
	w := in.Workload
	var out []inboundPort
	named := map[uint16]bool{envoy.InboundPort: true}
	add := func(p inboundPort) {
		if named[p.port] {
			return
		}
		named[p.port] = true
		p.mode, p.cluster = w.MTLSOn(p.port), cmp.Or(p.cluster, envoy.Inbound(p.port))
		if p.ingress != nil && p.ingress.TLS != nil && p.mode == model.Disable {
			p.socket = ownTLS(in.Settings, p.ingress)
			p.closed = p.socket == nil
		}
		if p.ingress != nil && p.ingress.Closed {
			p.socket, p.closed = nil, true
		}
		out = append(out, p)
	}
	switch {
	case in.Scope != nil && len(in.Scope.Ingress) > 0:
		for i := range in.Scope.Ingress {
			l := &in.Scope.Ingress[i]
			if reason, _ := unusable(l); reason == "" {
				add(inboundPort{port: l.Port, protocol: l.Protocol, ingress: l, pool: in.limitsOf(l)})
			}
		}
	default:
		for i, p := range w.Inbound {
			port := inboundPort{port: p.Port, service: p.ServicePort, protocol: p.Protocol, pool: in.limits(i)}
			if in.Scope != nil && in.Scope.Inbound != nil {
				port.pool = in.Scope.Inbound
			}
			add(port)
		}
	}
	for _, p := range w.PortMTLS {
		add(inboundPort{port: p.Port, cluster: envoy.InboundPassthroughCluster})
	}
	slices.SortFunc(out, func(a, b inboundPort) int { return cmp.Compare(a.port, b.port) })
	return append(out, inboundPort{mode: w.MTLS, cluster: envoy.InboundPassthroughCluster})
}
