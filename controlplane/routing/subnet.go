// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// subnet of addresses that are called; the zero value is all of them.
type subnet struct {
	*corev3.CidrRange
	// text is its one way to be written.
	text string
}

// subnets of a match: nil for any, empty when none of them can be used.
func (w *chains) subnets(at place, list []string) []subnet {
	if len(list) == 0 {
		return nil
	}
	out := []subnet{}
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil && a.Zone() == "" {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if !p.IsValid() {
			w.problems = append(w.problems, at.problem("destinationSubnets", "InvalidSubnet", fmt.Sprintf("%q is no subnet: write an address, or one with a prefix length as 10.1.0.0/16", text)))
			continue
		}
		p = p.Masked()
		s := subnet{text: p.String(), CidrRange: &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}}
		if !slices.ContainsFunc(out, func(have subnet) bool { return have.text == s.text }) {
			out = append(out, s)
		}
	}
	return out
}

// serverNames that Envoy can match, sorted, each once; never nil.
func (w *chains) serverNames(at place, list []string) []string {
	out := []string{}
	for _, n := range list {
		n = strings.ToLower(n)
		if n != "*" && (strings.Contains(strings.TrimPrefix(n, "*."), "*") || strings.TrimPrefix(n, "*.") == "") {
			w.problems = append(w.problems, at.problem("sniHosts", "InvalidServerName", fmt.Sprintf("%q is no server name: write a name, *. and a suffix, or *", n)))
			continue
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
