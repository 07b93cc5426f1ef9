// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The ports and ids that Istio's data plane has by convention.
const (
	OutboundPort uint16 = 15001
	InboundPort  uint16 = 15006
	DNSPort      uint16 = 15053
	ProxyID      uint32 = 1337
)

// neverInbound are the ports of the proxy itself (tunnel, merged metrics,
// health, Envoy's metrics): they are answered without a redirection.
var neverInbound = []uint16{15008, 15020, 15021, 15090}

// Ports is a choice of ports: all, or those listed.
type Ports struct {
	All  bool
	List []uint16
}

// Ranges is a choice of addresses: all, or those listed.
type Ranges struct {
	All  bool
	List []netip.Prefix
}

// Options say which traffic of the pod passes its proxy.
type Options struct {
	OutboundPort, InboundPort, DNSPort uint16
	// UID and GID of the proxy, whose own traffic is left alone.
	UID, GID uint32

	IncludeInboundPorts  Ports
	ExcludeInboundPorts  []uint16
	IncludeOutboundPorts []uint16
	ExcludeOutboundPorts []uint16
	IncludeOutbound      Ranges
	ExcludeOutbound      []netip.Prefix
	// ExcludeInterfaces are left alone in both directions.
	ExcludeInterfaces []string

	// CaptureDNS leads DNS that is meant for Nameservers (for anybody, when
	// CaptureAllDNS) to the agent.
	CaptureDNS, CaptureAllDNS bool
	Nameservers               []netip.Addr

	// IPv6 adds the same rules for IPv6.
	IPv6 bool
}

// Defaults redirect all TCP in both directions and no DNS.
func Defaults() Options {
	return Options{
		OutboundPort: OutboundPort, InboundPort: InboundPort, DNSPort: DNSPort,
		UID: ProxyID, GID: ProxyID,
		IncludeInboundPorts: Ports{All: true},
		IncludeOutbound:     Ranges{All: true},
	}
}

// ParsePorts reads a list such as "80,443", or "*" for all. Empty means none.
func ParsePorts(s string) (Ports, error) {
	if strings.TrimSpace(s) == "*" {
		return Ports{All: true}, nil
	}
	list, err := ParsePortList(s)
	return Ports{List: list}, err
}

// ParsePortList reads a list such as "80,443" and returns it sorted, without doubles.
func ParsePortList(s string) ([]uint16, error) {
	var out []uint16
	for _, word := range words(s) {
		n, err := strconv.ParseUint(word, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q is not a port: write numbers from 1 to 65535, separated by commas", word)
		}
		out = append(out, uint16(n))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// ParseRanges reads a list such as "10.0.0.0/8,2001:db8::/32", or "*" for all.
// Empty means none.
func ParseRanges(s string) (Ranges, error) {
	if strings.TrimSpace(s) == "*" {
		return Ranges{All: true}, nil
	}
	list, err := ParseRangeList(s)
	return Ranges{List: list}, err
}

// ParseRangeList reads a list of CIDRs; a bare address stands for itself alone.
func ParseRangeList(s string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, word := range words(s) {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			a, aerr := netip.ParseAddr(word)
			if aerr != nil || a.Zone() != "" {
				return nil, fmt.Errorf("%q is not a range of addresses: write CIDRs such as 10.0.0.0/8, separated by commas", word)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is an IPv4 address in IPv6 form: write it as IPv4", word)
		}
		out = append(out, p.Masked())
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(out), nil
}

// ParseInterfaces reads a list of network interface names.
func ParseInterfaces(s string) ([]string, error) {
	out := words(s)
	for _, name := range out {
		// The kernel's IFNAMSIZ is 16 with the closing zero.
		if len(name) > 15 || strings.ContainsAny(name, "/ \t\"") {
			return nil, fmt.Errorf("%q is not the name of a network interface (at most 15 characters)", name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func words(s string) []string {
	var out []string
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}
