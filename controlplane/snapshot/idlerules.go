// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// taken are the kinds of rules that something takes: requests one by one,
// connections by their server name, and by their address.
type taken struct{ http, tls, tcp bool }

var everything = taken{true, true, true}

func (t taken) and(o taken) taken { return taken{t.http || o.http, t.tls || o.tls, t.tcp || o.tcp} }

// idleRules of a VirtualService are of a kind that no port takes at which it holds.
// What isn't there yet, a service or a gateway, may take any.
func (x *idleIndex) idleRules(r *model.Routing) []model.Problem {
	if r.Kind != "VirtualService" {
		return nil
	}
	var t taken
	for _, ref := range r.Gateways {
		if ref != model.Sidecars {
			t = t.and(x.atGateway(ref, len(r.TLS) > 0))
			continue
		}
		for _, host := range r.Hosts {
			t = t.and(x.atHost(host))
		}
	}
	var out []model.Problem
	tell := func(field string, rules int, takes bool, why string) {
		if rules > 0 && !takes {
			out = append(out, r.Problem(field, "NoEffect", why))
		}
	}
	tell("spec.http", len(r.HTTP), t.http, "no port takes requests where these rules hold: name a port of the host http- if HTTP is what it speaks, "+
		"bind them to a gateway's server of protocol HTTP or HTTPS, or use tcp or tls rules")
	tell("spec.tls", len(r.TLS), t.tls, "no port takes TLS as it is where these rules hold: name a port of the host tls- or https-, "+
		"bind them to a gateway's server of protocol TLS, or use http rules")
	tell("spec.tcp", len(r.TCP), t.tcp, "no port takes connections as they are where these rules hold: name a port of the host tcp-, or use tls rules for one of TLS, "+
		"bind them to a gateway's server of protocol TCP, or use http rules for one of HTTP")
	return out
}

// atHost is what the ports take of services that a host of a VirtualService means.
func (x *idleIndex) atHost(host string) taken {
	services := x.services(host)
	if len(services) == 0 {
		return everything
	}
	var out taken
	for _, svc := range services {
		for _, p := range svc.Ports {
			switch {
			case p.Protocol.IsHTTP():
				out.http = true
			case p.Protocol == model.Auto:
				return everything
			case p.Protocol == model.TLS:
				out.tls = true
			default:
				out.tls, out.tcp = true, true
			}
		}
	}
	return out
}

// atGateway is what the listeners of a gateway take. byName: there are rules that
// tell connections by their server name.
func (x *idleIndex) atGateway(ref model.GatewayRef, byName bool) taken {
	g := x.gateways[model.GatewayRef{Namespace: ref.Namespace, Name: ref.Name}]
	if g == nil {
		return everything
	}
	var out taken
	for i := range g.Listeners {
		l := &g.Listeners[i]
		if ref.Listener != "" && ref.Listener != l.Name {
			continue
		}
		switch {
		case l.Protocol == model.ListenHTTP || l.Protocol == model.ListenHTTPS:
			out.http = true
		case l.Protocol == model.ListenTCP:
			out.tcp = true
		case l.Protocol == model.ListenTLS && l.TLS != nil && l.TLS.Mode != model.AutoPassthroughTLS:
			// Where server names tell, addresses don't.
			out.tls, out.tcp = true, out.tcp || !byName
		}
	}
	return out
}

// idleIndex finds services and gateways by what objects call them.
type idleIndex struct {
	all      []model.ServiceState
	byName   map[string][]*model.Service
	gateways map[model.GatewayRef]*model.Gateway
}

func indexIdle(m *model.Mesh) *idleIndex {
	out := &idleIndex{all: m.Services, byName: make(map[string][]*model.Service, len(m.Services)), gateways: make(map[model.GatewayRef]*model.Gateway, len(m.Gateways))}
	for _, st := range m.Services {
		out.byName[string(st.Service.Hostname)] = append(out.byName[string(st.Service.Hostname)], st.Service)
		for _, a := range st.Service.Aliases {
			out.byName[string(a)] = append(out.byName[string(a)], st.Service)
		}
	}
	for _, g := range m.Gateways {
		out.gateways[g.Ref()] = cmp.Or(out.gateways[g.Ref()], g)
	}
	return out
}

// services that a host means: those of the name, and all that a wildcard covers.
func (x *idleIndex) services(host string) []*model.Service {
	if len(host) == 0 || host[0] != '*' {
		return x.byName[host]
	}
	out := slices.Clip(x.byName[host])
	for _, st := range x.all {
		if string(st.Service.Hostname) != host && scope.Covers(host, string(st.Service.Hostname)) {
			out = append(out, st.Service)
		}
	}
	return out
}
