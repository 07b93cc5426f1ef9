// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// olderNames of filters are what EnvoyFilters written for older proxies say.
var olderNames = map[string]string{
	"envoy.http_connection_manager": envoy.HTTPFilter,
	"envoy.tcp_proxy":               envoy.TCPFilter,
	"envoy.router":                  "envoy.filters.http.router",
	"envoy.cors":                    "envoy.filters.http.cors",
	"envoy.fault":                   "envoy.filters.http.fault",
	"envoy.ext_authz":               "envoy.filters.http.ext_authz",
	"envoy.lua":                     "envoy.filters.http.lua",
}

func sameFilter(wanted, name string) bool { return wanted == name || olderNames[wanted] == name }

func (p *Patch) isListener() bool {
	switch p.ApplyTo {
	case "LISTENER", "LISTENER_FILTER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER":
		return true
	}
	return false
}

func whereIsListener(gateway bool, l *listenerv3.Listener) Where {
	switch {
	case gateway:
		return Gateway
	case l.GetTrafficDirection() == corev3.TrafficDirection_INBOUND:
		return Inbound
	default:
		return Outbound
	}
}

// ofListener is true when a patch may be about a listener. The port of the
// inbound listener is its chains'.
func (p *Patch) ofListener(where Where, l *listenerv3.Listener) bool {
	if !p.isListener() && !p.isRoutes() || !p.in(where) || p.ApplyTo == "LISTENER" && p.Operation == "ADD" {
		return false
	}
	m := p.match.Listener
	if m == nil {
		return true
	}
	if m.Name != "" && m.Name != l.GetName() {
		return false
	}
	// What all ports share is matched by its chains, unless it is meant as a whole.
	return m.PortNumber == 0 || p.ApplyTo != "LISTENER" && sharesPorts(l) || l.GetAddress().GetSocketAddress().GetPortValue() == m.PortNumber
}

// listener with a patch applied; nil when it is removed.
func (p *Patch) listener(where Where, l *listenerv3.Listener) (*listenerv3.Listener, error) {
	m := p.match.Listener
	switch p.ApplyTo {
	case "LISTENER":
		if p.Operation == "REMOVE" {
			return nil, nil //nolint:nilnil // there is no listener any more
		}
		if p.merges() {
			merge(l, p.value, p.Operation == replaceLists)
		}
	case "LISTENER_FILTER":
		named := m != nil && m.ListenerFilter != ""
		l.ListenerFilters = edit(l.GetListenerFilters(), p, named, func(f *listenerv3.ListenerFilter) bool {
			return !named || sameFilter(m.ListenerFilter, f.GetName())
		}, atEnd)
	case "FILTER_CHAIN":
		l.FilterChains = edit(l.GetFilterChains(), p, m != nil && (m.FilterChain != nil || m.PortNumber != 0), func(c *listenerv3.FilterChain) bool { return p.takes(l, c) }, atEnd)
		if d := l.GetDefaultFilterChain(); d != nil && p.takes(l, d) {
			switch p.Operation {
			case "MERGE", replaceLists:
				merge(d, p.value, p.Operation == replaceLists)
			case "REMOVE":
				if m != nil && m.FilterChain != nil {
					l.DefaultFilterChain = nil
				}
			}
		}
	default:
		chains := slices.Clone(l.GetFilterChains())
		if d := l.GetDefaultFilterChain(); d != nil {
			chains = append(chains, d)
		}
		for _, c := range chains {
			if p.takes(l, c) {
				if err := p.chain(where, c); err != nil {
					return nil, err
				}
			}
		}
	}
	return l, nil
}

// takes is true for filter chains that are matched.
func (p *Patch) takes(l *listenerv3.Listener, c *listenerv3.FilterChain) bool {
	m := p.match.Listener
	if m == nil {
		return true
	}
	is := c.GetFilterChainMatch()
	if m.PortNumber != 0 && sharesPorts(l) && is.GetDestinationPort().GetValue() != m.PortNumber {
		return false
	}
	w := m.FilterChain
	if w == nil {
		return true
	}
	// The chain must take all of them.
	protocols := func() bool {
		return !slices.ContainsFunc(strings.Split(w.ApplicationProtocols, ","), func(a string) bool {
			return !slices.Contains(is.GetApplicationProtocols(), strings.TrimSpace(a))
		})
	}
	return (w.Name == "" || w.Name == c.GetName()) &&
		(w.SNI == "" || slices.Contains(is.GetServerNames(), w.SNI)) &&
		(w.TransportProtocol == "" || w.TransportProtocol == is.GetTransportProtocol()) &&
		(w.ApplicationProtocols == "" || protocols()) &&
		(w.DestinationPort == 0 || is.GetDestinationPort().GetValue() == w.DestinationPort)
}

// filter that is matched; nil for none.
func (p *Patch) filter() *filterMatch {
	if m := p.match.Listener; m != nil && m.FilterChain != nil {
		return m.FilterChain.Filter
	}
	return nil
}

// chain with a patch of its filters, or of the routes inside, applied.
func (p *Patch) chain(where Where, c *listenerv3.FilterChain) error {
	f := p.filter()
	named := f != nil && f.Name != ""
	if p.ApplyTo == "NETWORK_FILTER" {
		c.Filters = edit(c.GetFilters(), p, named, func(n *listenerv3.Filter) bool { return !named || sameFilter(f.Name, n.GetName()) }, beforeLast)
		return nil
	}
	for _, n := range c.GetFilters() {
		if n.GetName() != envoy.HTTPFilter || named && !sameFilter(f.Name, n.GetName()) {
			continue
		}
		m := &hcmv3.HttpConnectionManager{}
		if err := n.GetTypedConfig().UnmarshalTo(m); err != nil {
			return err
		}
		switch {
		case p.ApplyTo == "HTTP_FILTER":
			p.http(m, f)
		case m.GetRouteConfig() != nil && p.ofRoutes(where, m.GetRouteConfig().GetName()):
			p.routes(m.GetRouteConfig())
		default:
			continue
		}
		if err := m.Validate(); err != nil {
			return err
		}
		n.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: envoy.Any(m)}
	}
	return nil
}

// http filters with a patch applied.
func (p *Patch) http(m *hcmv3.HttpConnectionManager, f *filterMatch) {
	named := f != nil && f.SubFilter != nil && f.SubFilter.Name != ""
	m.HttpFilters = edit(m.GetHttpFilters(), p, named, func(h *hcmv3.HttpFilter) bool {
		return !named || sameFilter(f.SubFilter.Name, h.GetName())
	}, func(list []*hcmv3.HttpFilter) int { return placeOf(p.FilterClass, list) })
}

// placeOf a class of filters in a list: authentication goes before what asks who
// calls, authorization right after what does, all others last before the router.
func placeOf(class string, list []*hcmv3.HttpFilter) int {
	asks := func(f *hcmv3.HttpFilter) bool { return envoy.Authorizes(f.GetName()) }
	switch class {
	case "AUTHN":
		if i := slices.IndexFunc(list, asks); i >= 0 {
			return i
		}
	case "AUTHZ":
		for i := len(list) - 1; i >= 0; i-- {
			if asks(list[i]) {
				return i + 1
			}
		}
	}
	return beforeLast(list)
}

// sharesPorts is true for the listeners to which the traffic of all ports is
// redirected.
func sharesPorts(l *listenerv3.Listener) bool {
	return l.GetName() == envoy.VirtualInbound || l.GetName() == envoy.VirtualOutbound
}

// merges is true for the operations that change what is there.
func (p *Patch) merges() bool { return p.Operation == "MERGE" || p.Operation == replaceLists }
