// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"net/netip"
	"slices"
)

// family is what differs between IPv4 and IPv6.
type family struct {
	ipv6     bool
	loopback netip.Prefix
	// inboundSource is where the proxy's connections to the application come
	// from, so that they are told from its other ones.
	inboundSource netip.Prefix
}

var (
	ipv4 = family{false, netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("127.0.0.6/32")}
	ipv6 = family{true, netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("::6/128")}
)

const (
	natPriority = -100
	rawPriority = -300

	// Conntrack zones keep the DNS that the agent sends on apart from the DNS
	// that is led to it: a source port used again would otherwise match the
	// redirected connection, and the agent would ask itself.
	upstreamDNSZone    = 1
	applicationDNSZone = 2
)

// Build turns options into the rulesets, one for each family in use.
func Build(o Options) []Ruleset {
	out := []Ruleset{ruleset(o, ipv4)}
	if o.IPv6 {
		out = append(out, ruleset(o, ipv6))
	}
	return out
}

func ruleset(o Options, f family) Ruleset {
	r := Ruleset{IPv6: f.ipv6, Chains: []Chain{
		{Name: "prerouting", Hook: &Hook{NAT, Prerouting, natPriority}, Rules: inbound(o)},
		{Name: "output", Hook: &Hook{NAT, Output, natPriority}, Rules: outbound(o, f)},
	}}
	if o.CaptureDNS {
		r.Chains = append(r.Chains,
			Chain{Name: "output-zone", Hook: &Hook{Filter, Output, rawPriority}, Rules: outputZones(o, f)},
			Chain{Name: "prerouting-zone", Hook: &Hook{Filter, Prerouting, rawPriority}, Rules: preroutingZones(o, f)},
		)
	}
	return r
}

func inbound(o Options) []Rule {
	var rules []Rule
	for _, name := range o.ExcludeInterfaces {
		rules = append(rules, Rule{InInterface: name, Verdict: leave})
	}
	excluded := slices.Concat(neverInbound, o.ExcludeInboundPorts)
	slices.Sort(excluded)
	for _, port := range slices.Compact(excluded) {
		rules = append(rules, Rule{Protocol: TCP, DestinationPort: port, Verdict: leave})
	}
	to := Verdict{Redirect: o.InboundPort}
	if o.IncludeInboundPorts.All {
		return append(rules, Rule{Protocol: TCP, Verdict: to})
	}
	for _, port := range o.IncludeInboundPorts.List {
		rules = append(rules, Rule{Protocol: TCP, DestinationPort: port, Verdict: to})
	}
	return rules
}

var leave = Verdict{Return: true}

func outbound(o Options, f family) []Rule {
	var rules []Rule
	add := func(r Rule) { rules = append(rules, r) }

	for _, name := range o.ExcludeInterfaces {
		add(Rule{OutInterface: name, Verdict: leave})
	}
	for _, port := range o.ExcludeOutboundPorts {
		add(Rule{Protocol: TCP, DestinationPort: port, Verdict: leave})
	}
	// The proxy hands an inbound connection to the application.
	add(Rule{OutInterface: "lo", Source: f.inboundSource, Verdict: leave})
	// The application calls itself through its service: the proxy chose this
	// very pod, so the call comes in through the proxy like any other.
	self := Rule{Protocol: TCP, OutInterface: "lo", NotDestination: f.loopback, NotDestinationPort: 15008, Verdict: Verdict{Redirect: o.InboundPort}}
	for _, own := range proxies(o, self) {
		add(own)
	}
	// The application calls itself by the pod's own address. DNS may be meant
	// for a server on loopback, and is looked at further down.
	local := Rule{OutInterface: "lo", Verdict: leave}
	if o.CaptureDNS {
		local.Protocol, local.NotDestinationPort = TCP, 53
	}
	add(local)
	// What the proxy itself sends.
	for _, own := range proxies(o, Rule{Verdict: leave}) {
		add(own)
	}
	if o.CaptureDNS {
		rules = append(rules, dns(o, f)...)
	}
	add(Rule{Protocol: TCP, Destination: f.loopback, Verdict: leave})
	for _, p := range o.ExcludeOutbound {
		if p.Addr().Is6() == f.ipv6 {
			add(Rule{Protocol: TCP, Destination: p, Verdict: leave})
		}
	}
	to := Verdict{Redirect: o.OutboundPort}
	for _, port := range o.IncludeOutboundPorts {
		add(Rule{Protocol: TCP, DestinationPort: port, Verdict: to})
	}
	if o.IncludeOutbound.All {
		add(Rule{Protocol: TCP, Verdict: to})
		return rules
	}
	for _, p := range o.IncludeOutbound.List {
		if p.Addr().Is6() == f.ipv6 {
			add(Rule{Protocol: TCP, Destination: p, Verdict: to})
		}
	}
	return rules
}

// proxies repeats a rule for the proxy's user and for its group.
func proxies(o Options, r Rule) []Rule {
	user, group := r, r
	user.UID, group.GID = &o.UID, &o.GID
	return []Rule{user, group}
}

// dns leads queries to the agent. Where only the pod's nameservers are meant,
// a query for another server (dig @…) goes its way.
func dns(o Options, f family) []Rule {
	var rules []Rule
	for _, server := range servers(o, f) {
		for _, protocol := range []Protocol{UDP, TCP} {
			rules = append(rules, Rule{Protocol: protocol, Destination: server, DestinationPort: 53, Verdict: Verdict{Redirect: o.DNSPort}})
		}
	}
	return rules
}

func outputZones(o Options, f family) []Rule {
	rules := proxies(o, Rule{Protocol: UDP, DestinationPort: 53, Verdict: Verdict{Zone: upstreamDNSZone}})
	// Setting a zone ends nothing: a later one would win, so what the agent
	// sends returns first.
	rules = append(rules, proxies(o, Rule{Protocol: UDP, DestinationPort: 53, Verdict: leave})...)
	rules = append(rules, proxies(o, Rule{Protocol: UDP, SourcePort: o.DNSPort, Verdict: Verdict{Zone: applicationDNSZone}})...)
	for _, server := range servers(o, f) {
		rules = append(rules, Rule{Protocol: UDP, Destination: server, DestinationPort: 53, Verdict: Verdict{Zone: applicationDNSZone}})
	}
	return rules
}

func preroutingZones(o Options, f family) []Rule {
	var rules []Rule
	for _, server := range servers(o, f) {
		rules = append(rules, Rule{Protocol: UDP, NotInInterface: "lo", Source: server, SourcePort: 53, Verdict: Verdict{Zone: upstreamDNSZone}})
	}
	return rules
}

// servers whose DNS is captured; the zero prefix stands for all.
func servers(o Options, f family) []netip.Prefix {
	if o.CaptureAllDNS {
		return []netip.Prefix{{}}
	}
	var out []netip.Prefix
	for _, a := range o.Nameservers {
		if a.Is6() == f.ipv6 {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}
