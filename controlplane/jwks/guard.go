// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"fmt"
	"net/netip"
)

// never is what no key set is fetched from: addresses that lead to the machine
// itself, to its link, to nowhere in particular, or to a cloud's metadata.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba's metadata
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle's metadata
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's platform
	netip.MustParsePrefix("224.0.0.0/3"),        // multicast, reserved, broadcast
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::/32"), // AWS's metadata
	netip.MustParsePrefix("fd20:ce::/32"),  // Google's metadata
}

// embedding prefixes hold an IPv4 address at the end (RFC 6052) or after the prefix (RFC 3056).
var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	sixTo  = netip.MustParsePrefix("2002::/16")
	compat = netip.MustParsePrefix("::/96")
)

// Guard permits connections to all addresses but those that no key set is ever
// fetched from, and those in forbidden: the API server's, and the control
// plane's own.
func Guard(forbidden ...netip.Prefix) func(netip.Addr) error {
	return func(a netip.Addr) error {
		for _, a := range meanings(a) {
			for _, list := range [][]netip.Prefix{never, forbidden} {
				for _, p := range list {
					if p.Contains(a) {
						return fmt.Errorf("it leads to %s, which key sets are not fetched from", a)
					}
				}
			}
		}
		return nil
	}
}

// meanings of an address: itself, and the IPv4 address inside it.
func meanings(a netip.Addr) []netip.Addr {
	a = a.Unmap().WithZone("")
	out := []netip.Addr{a}
	if !a.Is6() {
		return out
	}
	b := a.As16()
	switch {
	case nat64.Contains(a), compat.Contains(a):
		out = append(out, netip.AddrFrom4([4]byte(b[12:])))
	case sixTo.Contains(a):
		out = append(out, netip.AddrFrom4([4]byte(b[2:6])))
	}
	return out
}
