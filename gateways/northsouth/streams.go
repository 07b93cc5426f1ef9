// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/routing"
)

// streams adds the chains of a port that takes bytes. Nothing but addresses
// tells its listeners apart, so of those that have routings the oldest serves.
func (t *translation) streams(b *bind, l *listenerv3.Listener) {
	var holder attached
	for _, a := range b.of {
		chains := t.tcp(a)
		if a.listener.Closed {
			chains = t.shut(chains)
		}
		switch {
		case len(chains) == 0:
		case len(l.FilterChains) == 0:
			l.FilterChains, holder = chains, a
		default:
			t.report(a.problem(".port", "PortConflict",
				"port %d passes on bytes for %s, and nothing tells connections apart; give this one another port", b.port, a.holder(holder)))
		}
	}
}

// tcp are the chains of the TCP rules of a listener's routings.
func (t *translation) tcp(a attached) []*listenerv3.FilterChain {
	var routings []*model.Routing
	for _, r := range t.routingsAt(a) {
		if len(r.TCP) > 0 && a.takes(r) {
			routings = append(routings, r)
		}
	}
	chains, problems := routing.TCP(t.context(a), routings)
	t.report(problems...)
	for i, c := range chains {
		if c.Name == "" {
			c.Name = chainName(a)
		}
		chains[i].Filters = slices.Concat(policy.Discovered(t.Mesh.Settings, t.Policies).TCP(), c.GetFilters())
	}
	return chains
}

// takes is true when one of the listener's hosts takes one of a routing's.
func (a attached) takes(r *model.Routing) bool {
	return slices.ContainsFunc(a.hosts(), func(h model.ListenerHost) bool {
		return (h.Namespace == "" || h.Namespace == r.Namespace) &&
			(len(r.Hosts) == 0 || slices.ContainsFunc(r.Hosts, func(host string) bool {
				_, ok := intersect(h.Host, host)
				return ok
			}))
	})
}
