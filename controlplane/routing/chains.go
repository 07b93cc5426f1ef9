// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// connectAttempts lets a connection try another endpoint when one refuses.
const connectAttempts = 3

// TLS turns the TLS rules of routings into filter chains that send connections
// on by server name, without ending TLS. The listener needs envoy.TLSInspector.
// Where two rules take the same server name at the same address, the older
// routing's holds, or the rule that is written first, and the other has a
// problem. Envoy looks at the address before the server name, and takes the most
// specific of each, whatever the order of the rules.
func TLS(c Context, routings []*model.Routing) ([]*listenerv3.FilterChain, []model.Problem) {
	w := chains{Context: c}
	for _, r := range c.bound(routings) {
		for i := range r.TLS {
			rule := &r.TLS[i]
			matches := rule.Matches
			if len(matches) == 0 {
				matches = []model.TLSMatch{{}}
			}
			for j := range matches {
				m := &matches[j]
				if !c.holds(m.From, m.Port) {
					continue
				}
				names := m.ServerNames
				if len(names) == 0 {
					names = r.Hosts
				}
				at := place{routing: r, list: "tls", rule: i, match: j}
				w.add(at, chainName(rule.Name, r), rule.Destinations, w.serverNames(at, names), w.subnets(at, m.DestinationSubnets))
			}
		}
	}
	return w.chains, once(w.problems)
}

// TCP turns the TCP rules of routings on one host into filter chains, of which
// Envoy takes the one with the smallest subnet. The one without a match, if any,
// is the last: it takes what the others don't.
func TCP(c Context, routings []*model.Routing) ([]*listenerv3.FilterChain, []model.Problem) {
	w := chains{Context: c}
	for _, r := range c.bound(routings) {
		for i := range r.TCP {
			rule := &r.TCP[i]
			matches := rule.Matches
			if len(matches) == 0 {
				matches = []model.TCPMatch{{}}
			}
			for j := range matches {
				m := &matches[j]
				if !c.holds(m.From, m.Port) {
					continue
				}
				at := place{routing: r, list: "tcp", rule: i, match: j}
				w.add(at, chainName(rule.Name, r), rule.Destinations, nil, w.subnets(at, m.DestinationSubnets))
			}
		}
	}
	slices.SortStableFunc(w.chains, func(a, b *listenerv3.FilterChain) int {
		return first(a.GetFilterChainMatch() != nil, b.GetFilterChainMatch() != nil)
	})
	return w.chains, once(w.problems)
}

// place of a match in its object.
type place struct {
	routing     *model.Routing
	list        string
	rule, match int
}

func (p place) problem(field, reason, message string) model.Problem {
	path := fmt.Sprintf("spec.%s[%d].match[%d].%s", p.list, p.rule, p.match, field)
	if p.unmatched() {
		path = fmt.Sprintf("spec.%s[%d]", p.list, p.rule)
	}
	if p.routing.BySpecificity {
		path = fmt.Sprintf("spec.rules[%d]", p.rule)
	}
	return p.routing.Problem(path, reason, message)
}

// unmatched is true for a rule that has no match to point at.
func (p place) unmatched() bool {
	if p.list == "tcp" {
		return len(p.routing.TCP[p.rule].Matches) == 0
	}
	return len(p.routing.TLS[p.rule].Matches) == 0
}

// chains that are written, and what they match already.
type chains struct {
	Context
	chains   []*listenerv3.FilterChain
	problems []model.Problem
	taken    map[[2]string]*model.Routing
}

// add the chains of one match. names is nil for a match that doesn't look at
// server names. Every pair of subnet and name belongs to one chain only; Envoy
// refuses a listener where one has two.
func (w *chains) add(at place, name string, destinations []model.Destination, names []string, subnets []subnet) {
	if names != nil && len(names) == 0 || subnets != nil && len(subnets) == 0 {
		// All that it asks for is wrong; there are problems already.
		return
	}
	looksAtNames := names != nil
	if !looksAtNames {
		names = []string{""}
	}
	if subnets == nil {
		subnets = []subnet{{}}
	}
	var proxy *tcpproxyv3.TcpProxy
	// Subnets that are left the same names share a chain.
	type part struct {
		names   []string
		subnets []subnet
	}
	var parts []part
	for _, s := range subnets {
		free := w.free(at, names, s)
		i := slices.IndexFunc(parts, func(p part) bool { return slices.Equal(p.names, free) })
		switch {
		case len(free) == 0:
		case i >= 0:
			parts[i].subnets = append(parts[i].subnets, s)
		default:
			parts = append(parts, part{names: free, subnets: []subnet{s}})
		}
	}
	for _, p := range parts {
		if proxy == nil {
			proxy = w.proxy(at, name, destinations)
		}
		chain := &listenerv3.FilterChain{Name: name, Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(proxy)}}
		match := &listenerv3.FilterChainMatch{}
		if looksAtNames {
			match.TransportProtocol = "tls"
			match.ServerNames = slices.DeleteFunc(slices.Clone(p.names), func(n string) bool { return n == "*" })
			if slices.Contains(p.names, "*") {
				// Any name, and none.
				match.ServerNames = nil
			}
		}
		for _, s := range p.subnets {
			match.PrefixRanges = appendSome(match.PrefixRanges, s.CidrRange)
		}
		if looksAtNames || len(match.GetPrefixRanges()) > 0 {
			chain.FilterChainMatch = match
		}
		w.chains = append(w.chains, chain)
	}
}

// free are the names that no chain has at a subnet yet; they are taken now.
func (w *chains) free(at place, names []string, s subnet) []string {
	if w.taken == nil {
		w.taken = map[[2]string]*model.Routing{}
	}
	var out []string
	for _, n := range names {
		if slices.Contains(names, "*") && n != "*" {
			// One that takes all names has no need of others.
			continue
		}
		key := [2]string{s.text, n}
		if by := w.taken[key]; by != nil {
			older := ""
			if by.Older(at.routing.Origin) < 0 {
				older = ", which is older,"
			}
			field := "sniHosts"
			if n == "" { // the match is by address alone
				field = "destinationSubnets"
			}
			w.problems = append(w.problems, at.problem(field, "Conflict", fmt.Sprintf(
				"%s %s/%s%s takes connections%s%s already: narrow the match, or merge the two", by.Kind, by.Namespace, by.Name, older, about(" for server name ", n), about(" to ", s.text))))
			continue
		}
		w.taken[key] = at.routing
		out = append(out, n)
	}
	return out
}

func about(what, value string) string {
	if value == "" {
		return ""
	}
	return what + value
}

// proxy to the destinations of a rule.
func (w *chains) proxy(at place, name string, destinations []model.Destination) *tcpproxyv3.TcpProxy {
	to := shares(w.Context, destinations, at.routing.BySpecificity, func(i int, d model.Destination) {
		if !at.routing.BySpecificity {
			w.problems = append(w.problems, at.routing.Problem(
				fmt.Sprintf("spec.%s[%d].route[%d].destination.host", at.list, at.rule, i), "UnknownDestination", unknown(d, "its connections are closed")))
		}
	})
	var out *tcpproxyv3.TcpProxy
	switch len(to) {
	case 0:
		out = envoy.TCPProxy(w.Settings, nowhere)
		standardmetrics.CountConnections(w.Settings, standardmetrics.Gateway, out)
		return out
	case 1:
		out = envoy.TCPProxy(w.Settings, to[0].Cluster.Name)
	default:
		out = envoy.TCPProxy(w.Settings, name)
		clusters := &tcpproxyv3.TcpProxy_WeightedCluster{}
		for _, s := range to {
			clusters.Clusters = append(clusters.Clusters, &tcpproxyv3.TcpProxy_WeightedCluster_ClusterWeight{Name: s.Cluster.Name, Weight: s.weight})
		}
		out.ClusterSpecifier = &tcpproxyv3.TcpProxy_WeightedClusters{WeightedClusters: clusters}
	}
	out.MaxConnectAttempts = wrapperspb.UInt32(connectAttempts)
	// A proxy has one idle timeout for all its clusters: the first one's, as in Istio.
	to[0].Stream.Apply(out)
	// Connections are counted alike at sidecars and gateways.
	standardmetrics.CountConnections(w.Settings, standardmetrics.Gateway, out)
	return out
}

// chainName is a rule's name, else its object's.
func chainName(name string, r *model.Routing) string {
	if name != "" {
		return name
	}
	return r.Namespace + "." + r.Name
}
