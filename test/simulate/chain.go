// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// connection is what a listener's inspectors tell of a connection.
type connection struct {
	port       uint32
	address    netip.Addr
	serverName string
	transport  string
	alpn       []string
}

func (c connection) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s for port %d %s %s", c.transport, c.port, c.serverName, strings.Join(c.alpn, ",")))
}

// inspect a connection with the inspectors that a listener has.
func (w *walk) inspect(l *listenerv3.Listener) connection {
	c := connection{port: uint32(w.call.To.Port()), address: w.call.To.Addr(), transport: "raw_buffer"}
	for _, f := range l.GetListenerFilters() {
		if disabled(f.GetFilterDisabled(), c.port) {
			continue
		}
		switch {
		case strings.HasSuffix(f.GetName(), "tls_inspector") && w.call.Payload == TLS:
			c.transport, c.serverName, c.alpn = "tls", w.call.ServerName, w.call.ALPN
		case strings.HasSuffix(f.GetName(), "http_inspector") && (w.call.Payload == HTTP1 || w.call.Payload == HTTP2):
			c.alpn = []string{string(w.call.Payload)}
		}
	}
	return c
}

func disabled(p *listenerv3.ListenerFilterChainMatchPredicate, port uint32) bool {
	switch rule := p.GetRule().(type) {
	case *listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange:
		r := rule.DestinationPortRange
		return int32(port) >= r.GetStart() && int32(port) < r.GetEnd()
	case *listenerv3.ListenerFilterChainMatchPredicate_OrMatch:
		return slices.ContainsFunc(rule.OrMatch.GetRules(), func(p *listenerv3.ListenerFilterChainMatchPredicate) bool {
			return disabled(p, port)
		})
	}
	return false
}

// choose the filter chain of a connection. Envoy looks at one property after
// the other and takes the most specific value that there is; it never comes
// back to a less specific one.
func choose(chains []*listenerv3.FilterChain, c connection) *listenerv3.FilterChain {
	left := byPort(chains, c.port)
	left = byAddress(left, c.address)
	left = byServerName(left, c.serverName)
	left = narrow(left, func(m *listenerv3.FilterChainMatch) bool { return m.GetTransportProtocol() == c.transport },
		func(m *listenerv3.FilterChainMatch) bool { return m.GetTransportProtocol() == "" })
	left = byALPN(left, c.alpn)
	if len(left) == 0 {
		return nil
	}
	return left[0]
}

type matcher func(*listenerv3.FilterChainMatch) bool

// narrow to the chains of the first matcher that any chain satisfies.
func narrow(chains []*listenerv3.FilterChain, matchers ...matcher) []*listenerv3.FilterChain {
	for _, m := range matchers {
		var out []*listenerv3.FilterChain
		for _, c := range chains {
			if m(c.GetFilterChainMatch()) {
				out = append(out, c)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

func byPort(chains []*listenerv3.FilterChain, port uint32) []*listenerv3.FilterChain {
	return narrow(chains,
		func(m *listenerv3.FilterChainMatch) bool { return m.GetDestinationPort().GetValue() == port },
		func(m *listenerv3.FilterChainMatch) bool { return m.GetDestinationPort() == nil })
}

// byAddress: the smallest subnet that the called address is in, then any.
func byAddress(chains []*listenerv3.FilterChain, address netip.Addr) []*listenerv3.FilterChain {
	within := func(m *listenerv3.FilterChainMatch, bits int) bool {
		return slices.ContainsFunc(m.GetPrefixRanges(), func(r *corev3.CidrRange) bool {
			a, err := netip.ParseAddr(r.GetAddressPrefix())
			return err == nil && int(r.GetPrefixLen().GetValue()) == bits && netip.PrefixFrom(a, bits).Contains(address)
		})
	}
	var matchers []matcher
	for bits := address.BitLen(); address.IsValid() && bits >= 0; bits-- {
		matchers = append(matchers, func(m *listenerv3.FilterChainMatch) bool { return within(m, bits) })
	}
	return narrow(chains, append(matchers, func(m *listenerv3.FilterChainMatch) bool { return len(m.GetPrefixRanges()) == 0 })...)
}

// byServerName: the name itself, then its suffixes from long to short, then any.
func byServerName(chains []*listenerv3.FilterChain, name string) []*listenerv3.FilterChain {
	var matchers []matcher
	if name != "" {
		matchers = append(matchers, func(m *listenerv3.FilterChainMatch) bool { return slices.Contains(m.GetServerNames(), name) })
		for rest := name; strings.Contains(rest, "."); {
			_, rest, _ = strings.Cut(rest, ".")
			wildcard := "*." + rest
			matchers = append(matchers, func(m *listenerv3.FilterChainMatch) bool { return slices.Contains(m.GetServerNames(), wildcard) })
		}
	}
	return narrow(chains, append(matchers, func(m *listenerv3.FilterChainMatch) bool { return len(m.GetServerNames()) == 0 })...)
}

// byALPN: the client's protocols in its order, then any.
func byALPN(chains []*listenerv3.FilterChain, alpn []string) []*listenerv3.FilterChain {
	var matchers []matcher
	for _, protocol := range alpn {
		matchers = append(matchers, func(m *listenerv3.FilterChainMatch) bool {
			return slices.Contains(m.GetApplicationProtocols(), protocol)
		})
	}
	return narrow(chains, append(matchers, func(m *listenerv3.FilterChainMatch) bool { return len(m.GetApplicationProtocols()) == 0 })...)
}

// describe a chain by its name and by what it matches.
func describe(c *listenerv3.FilterChain, l *listenerv3.Listener) string {
	if c == l.GetDefaultFilterChain() {
		return strings.TrimSpace("default " + c.GetName())
	}
	m := c.GetFilterChainMatch()
	parts := []string{c.GetName()}
	if p := m.GetDestinationPort(); p != nil {
		parts = append(parts, fmt.Sprint("port ", p.GetValue()))
	}
	if t := m.GetTransportProtocol(); t != "" {
		parts = append(parts, t)
	}
	if a := m.GetApplicationProtocols(); len(a) > 0 {
		parts = append(parts, strings.Join(a, ","))
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}
