// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"fmt"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// The application protocols that a listener of HTTP over TLS offers.
var httpProtocols = []string{"h2", "http/1.1"}

// secured adds the chains of a port that takes TLS. Who says which server it
// wants goes to that server's listener.
func (t *translation) secured(b *bind, l *listenerv3.Listener) {
	names := serverNames{}
	for _, a := range b.of {
		tls := a.listener.TLS
		switch {
		case a.listener.Closed:
			l.FilterChains = append(l.FilterChains, t.closed(a, names)...)
		case tls == nil:
			t.report(a.problem(".tls", "NoTLS", "%v", errNoTLS))
		case tls.Mode == model.AutoPassthroughTLS:
			l.FilterChains = append(l.FilterChains, t.autoPassthrough(a, names)...)
		case tls.Mode == model.PassthroughTLS:
			l.FilterChains = append(l.FilterChains, t.passthrough(a, names)...)
		case a.listener.Protocol == model.ListenHTTPS:
			l.FilterChains = append(l.FilterChains, t.https(b, a, names)...)
		default:
			l.FilterChains = append(l.FilterChains, t.terminated(a, names)...)
		}
	}
}

// serverNames of one port and who has them; "*" is every other name, and none.
type serverNames map[string]attached

// claim names for a listener. Names that an older one has are reported, and not
// among those returned.
func (t *translation) claim(names serverNames, a attached, wanted []string) []string {
	var out []string
	for _, n := range wanted {
		owner, taken := names[n]
		switch {
		case !usable(n):
			t.report(a.problem(".hosts", "InvalidHost", "host %q is neither a name nor *. and a name; correct it", n))
		case taken && owner != a:
			t.report(a.problem(".hosts", "HostConflict",
				"host %q on this port is taken by %s; use another host or port", n, a.holder(owner)))
		case !slices.Contains(out, n):
			names[n] = a
			out = append(out, n)
		}
	}
	return out
}

// hostNames of a listener, without namespaces.
func (a attached) hostNames() []string {
	var out []string
	for _, h := range a.hosts() {
		if !slices.Contains(out, h.Host) {
			out = append(out, h.Host)
		}
	}
	slices.Sort(out)
	return out
}

// matching is a chain's match on server names.
func matching(names []string) *listenerv3.FilterChainMatch {
	if slices.Contains(names, "*") {
		return &listenerv3.FilterChainMatch{TransportProtocol: "tls"}
	}
	return &listenerv3.FilterChainMatch{TransportProtocol: "tls", ServerNames: names}
}

// byName are the chains of one listener: one for the names that it has, and
// another one for all other names if it has those, because Envoy wants no names
// in a match of any.
func byName(name string, names []string, make func() *listenerv3.FilterChain) []*listenerv3.FilterChain {
	var out []*listenerv3.FilterChain
	narrow := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "*" })
	if len(narrow) > 0 {
		c := make()
		c.Name, c.FilterChainMatch = name, matching(narrow)
		out = append(out, c)
	}
	if len(narrow) < len(names) {
		c := make()
		c.Name, c.FilterChainMatch = name+".*", matching([]string{"*"})
		out = append(out, c)
	}
	return out
}

// https ends TLS and takes requests.
func (t *translation) https(b *bind, a attached, names serverNames) []*listenerv3.FilterChain {
	own := t.claim(names, a, a.hostNames())
	if len(own) == 0 {
		return nil
	}
	socket, err := t.socket(a, httpProtocols)
	if err != nil {
		t.report(a.problem(".tls", "CredentialUnusable", "%v", err))
		return nil
	}
	var others []attached
	if a.gateway.API {
		others = slices.DeleteFunc(slices.Clone(b.of), func(o attached) bool {
			return o == a || !o.gateway.API || o.listener.Protocol != model.ListenHTTPS
		})
	}
	name, http3 := listenerRoutes(a), t.overQUIC(b, a)
	t.routes(name, []attached{a}, others, http3)
	m := t.manager(name)
	if a.listener.TLS.AllowInvalidClients {
		// Nobody vouches for the names in the certificate, so the backend gets it
		// whole, to verify it, and no name that looks as if somebody had.
		m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{Cert: true, Chain: true}
	}
	filter := envoy.HTTPManagerFilter(m)
	if http3 {
		t.quic(b, a, own)
	}
	return byName(name, own, func() *listenerv3.FilterChain {
		return &listenerv3.FilterChain{TransportSocket: socket, Filters: []*listenerv3.Filter{filter}}
	})
}

// terminated ends TLS and takes bytes, by the routings' TLS rules, which choose
// by server name, or else their TCP rules.
func (t *translation) terminated(a attached, names serverNames) []*listenerv3.FilterChain {
	socket, err := t.socket(a, nil)
	if err != nil {
		t.report(a.problem(".tls", "CredentialUnusable", "%v", err))
		return nil
	}
	out := t.passthrough(a, names)
	for _, c := range out {
		c.TransportSocket = socket
	}
	return out
}

// passthrough sends TLS on as it came, by the routings' TLS rules; by their TCP
// rules when they have none.
func (t *translation) passthrough(a attached, names serverNames) []*listenerv3.FilterChain {
	if out := t.passed(a, names); len(out) > 0 {
		return out
	}
	chains := t.tcp(a)
	if len(chains) == 0 {
		return nil
	}
	first := chains[0]
	if len(chains) > 1 {
		t.report(a.problem(".tls", "NotSupported", "names tell connections over TLS apart, and nothing else, so of several TCP rules with subnets the first holds alone; use tls rules with sniHosts"))
	}
	return byName(first.GetName(), t.claim(names, a, a.hostNames()), func() *listenerv3.FilterChain {
		return &listenerv3.FilterChain{Filters: first.GetFilters()}
	})
}

// passed are the chains of the routings' TLS rules, by server names that the
// listener takes.
func (t *translation) passed(a attached, names serverNames) []*listenerv3.FilterChain {
	var narrowed []*model.Routing
	for _, r := range t.routingsAt(a) {
		if n := narrow(a, r); n != nil {
			narrowed = append(narrowed, n)
		}
	}
	chains, problems := routing.TLS(t.context(a), narrowed)
	t.report(problems...)
	var out []*listenerv3.FilterChain
	for _, c := range chains {
		m := c.GetFilterChainMatch()
		if len(m.GetServerNames()) == 0 && len(t.claim(names, a, []string{"*"})) == 0 {
			continue
		}
		if len(m.GetServerNames()) > 0 {
			if m.ServerNames = t.claim(names, a, m.GetServerNames()); len(m.GetServerNames()) == 0 {
				continue
			}
		}
		c.Filters = slices.Concat(policy.Discovered(t.Mesh.Settings, t.Policies).TCP(), c.GetFilters())
		out = append(out, c)
	}
	return out
}

// narrow a routing's TLS rules to the server names that a listener takes; nil
// when nothing is left.
func narrow(a attached, r *model.Routing) *model.Routing {
	if len(r.TLS) == 0 {
		return nil
	}
	out := *r
	out.TLS = nil
	common := func(wanted []string) []string {
		var names []string
		for _, h := range a.hosts() {
			if h.Namespace != "" && h.Namespace != r.Namespace {
				continue
			}
			for _, w := range wanted {
				if n, ok := intersect(h.Host, w); ok && !slices.Contains(names, n) {
					names = append(names, n)
				}
			}
		}
		slices.Sort(names)
		return names
	}
	for _, rule := range r.TLS {
		matches := rule.Matches
		if len(matches) == 0 {
			matches = []model.TLSMatch{{}}
		}
		rule.Matches = nil
		for _, m := range matches {
			if len(m.ServerNames) == 0 {
				m.ServerNames = r.Hosts
			}
			if m.ServerNames = common(m.ServerNames); len(m.ServerNames) > 0 {
				rule.Matches = append(rule.Matches, m)
			}
		}
		if len(rule.Matches) > 0 {
			out.TLS = append(out.TLS, rule)
		}
	}
	if len(out.TLS) == 0 {
		return nil
	}
	return &out
}

// autoPassthrough sends TLS of the mesh on to the exported service that the
// server name spells, and to no other one (CVE-2021-31921).
func (t *translation) autoPassthrough(a attached, names serverNames) []*listenerv3.FilterChain {
	var out []*listenerv3.FilterChain
	for _, cluster := range t.Exported {
		if !slices.ContainsFunc(a.hosts(), func(h model.ListenerHost) bool { return covers(h.Host, cluster) }) {
			continue
		}
		if len(t.claim(names, a, []string{cluster})) == 0 {
			continue
		}
		t.clusters[cluster] = true
		proxy := envoy.TCPProxy(t.Mesh.Settings, cluster)
		standardmetrics.CountConnections(t.Mesh.Settings, standardmetrics.Gateway, proxy)
		out = append(out, &listenerv3.FilterChain{
			Name:             cluster,
			FilterChainMatch: matching([]string{cluster}),
			Filters:          append(policy.Discovered(t.Mesh.Settings, t.Policies).TCP(), envoy.TCPProxyFilter(proxy)),
		})
	}
	if len(out) == 0 {
		t.report(a.problem(".hosts", "NothingExported",
			"no exported service fits the hosts of this listener, so it passes nothing on; export a service (kind ServiceExport), or correct the hosts, such as %q", "*.local"))
	}
	return out
}

// chainName of a listener whose routing names none.
func chainName(a attached) string {
	return fmt.Sprintf("%s/%s/%s", a.gateway.Namespace, a.gateway.Name, a.listener.Name)
}
