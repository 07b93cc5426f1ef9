// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// closedMessage says why a rule leads nowhere.
const closedMessage = "the proxy refuses its listener"

// closed is what a closed listener has of its port: the names that it would take,
// which lead nowhere. Without them a wider listener would take what comes for
// them, with another certificate.
func (t *translation) closed(a attached, names serverNames) []*listenerv3.FilterChain {
	var out []*listenerv3.FilterChain
	switch {
	case a.listener.Protocol == model.ListenHTTPS:
		out = byName(chainName(a), t.claim(names, a, a.hostNames()), func() *listenerv3.FilterChain { return &listenerv3.FilterChain{} })
	case a.listener.TLS != nil && a.listener.TLS.Mode == model.AutoPassthroughTLS:
		out = t.autoPassthrough(a, names)
	default:
		out = t.passthrough(a, names)
	}
	return t.shut(out)
}

// shut chains: connections that come to them are closed.
func (t *translation) shut(chains []*listenerv3.FilterChain) []*listenerv3.FilterChain {
	for _, c := range chains {
		c.TransportSocket = nil
		c.Filters = []*listenerv3.Filter{envoy.TCPProxyFilter(envoy.TCPProxy(t.Mesh.Settings, envoy.BlackHoleCluster))}
	}
	return chains
}

// routingsAt a listener, the oldest first. At a closed one they lead nowhere.
func (t *translation) routingsAt(a attached) []*model.Routing {
	list := t.Scope.Routings(t.caller, a.ref())
	if !a.listener.Closed {
		return list
	}
	out := make([]*model.Routing, len(list))
	for i, r := range list {
		if t.barred[r] == nil {
			t.barred[r] = r.Barred(closedMessage)
		}
		out[i] = t.barred[r]
	}
	return out
}

// unnamed takes away the hosts that closed listeners are to go without and nobody
// else on the port would take, and listeners that have none left.
func (b *bind) unnamed() {
	all := slices.Clone(b.of)
	b.of = slices.DeleteFunc(b.of, func(a attached) bool { return a.listener.Unnamed && len(a.wanted(all)) == 0 })
	for i, a := range b.of {
		if a.listener.Unnamed {
			l := *a.listener
			l.Hosts = a.wanted(all)
			b.of[i].listener = &l
		}
	}
}

// wanted are those of a listener's hosts that another one would take.
func (a attached) wanted(all []attached) []model.ListenerHost {
	return slices.DeleteFunc(a.hosts(), func(h model.ListenerHost) bool {
		return !slices.ContainsFunc(all, func(o attached) bool {
			return o != a && slices.ContainsFunc(o.hosts(), func(of model.ListenerHost) bool {
				return covers(of.Host, h.Host) || covers(h.Host, of.Host)
			})
		})
	})
}

// withoutHTTP3 is true when a closed listener has HTTP/3 on a port: its names can't be
// kept from the others over QUIC, so nobody has it there.
func (b *bind) withoutHTTP3() bool {
	return slices.ContainsFunc(b.of, func(a attached) bool { return a.listener.Closed && a.listener.HTTP3 })
}
