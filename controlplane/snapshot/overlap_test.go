// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"maps"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

// Every pair of range and name goes to the first chain that asks for it, and to no
// other; none is lost that nobody else has.
func TestOverlapGivesEachPairToTheFirst(t *testing.T) {
	few := func(of ...string) *rapid.Generator[[]string] {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, 3, rapid.ID[string])
	}
	names, subnets := few("a", "b", "c", "*.d"), few("10.1.0.0", "10.2.0.0", "10.3.0.0", "fd00::")
	rapid.Check(t, func(t *rapid.T) {
		taken := overlap{}
		want, got := map[[3]string]string{}, map[[3]string]string{}
		each := func(c *listenerv3.FilterChain, do func(pair [3]string)) {
			m := c.GetFilterChainMatch()
			ranges, names := []string{""}, []string{""}
			if len(m.GetPrefixRanges()) > 0 {
				ranges = nil
			}
			for _, r := range m.GetPrefixRanges() {
				ranges = append(ranges, r.GetAddressPrefix())
			}
			if len(m.GetServerNames()) > 0 {
				names = m.GetServerNames()
			}
			for _, r := range ranges {
				for _, n := range names {
					do([3]string{r, n, m.GetTransportProtocol()})
				}
			}
		}
		for i := range rapid.IntRange(1, 6).Draw(t, "chains") {
			c := &listenerv3.FilterChain{Name: string(rune('0' + i)), Filters: []*listenerv3.Filter{{Name: string(rune('0' + i))}}}
			if m := rapid.Bool().Draw(t, "match"); m {
				c.FilterChainMatch = &listenerv3.FilterChainMatch{ServerNames: names.Draw(t, "names")}
				if rapid.Bool().Draw(t, "tls") {
					c.FilterChainMatch.TransportProtocol = "tls"
				}
				for _, s := range subnets.Draw(t, "ranges") {
					c.FilterChainMatch.PrefixRanges = append(c.FilterChainMatch.PrefixRanges, &corev3.CidrRange{AddressPrefix: s, PrefixLen: wrapperspb.UInt32(16)})
				}
			}
			told := false
			each(c, func(p [3]string) {
				if _, ok := want[p]; ok {
					told = true
				} else {
					want[p] = c.Name
				}
			})
			free, lost := taken.take(c, &chains{})
			if told != (len(lost) > 0) {
				t.Fatalf("chain %s %v lost %v", c.Name, c, lost)
			}
			if !told && (len(free) != 1 || free[0] != c) {
				t.Fatalf("chain %s is another without need: %v", c.Name, free)
			}
			for _, f := range free {
				each(f, func(p [3]string) {
					if by, ok := got[p]; ok {
						t.Fatalf("%v is %s's and %s's", p, by, f.Name)
					}
					got[p] = f.Name
				})
			}
		}
		if !maps.Equal(want, got) {
			t.Fatalf("want %v, got %v", want, got)
		}
	})
}

// A chain that does what the holder's does loses nothing, nor does one of the same service.
func TestOverlapTellsLosses(t *testing.T) {
	chain := func(filter string, names ...string) *listenerv3.FilterChain {
		return &listenerv3.FilterChain{Name: filter + names[0], Filters: []*listenerv3.Filter{{Name: filter}}, FilterChainMatch: &listenerv3.FilterChainMatch{ServerNames: names}}
	}
	taken, one, two := overlap{}, &chains{}, &chains{}
	for _, c := range []struct {
		chain *listenerv3.FilterChain
		by    *chains
		lost  []string
		free  int
	}{
		{chain("x", "a"), one, nil, 1},
		{chain("y", "A"), one, nil, 0},
		{chain("x", "a"), two, nil, 0},
		{chain("y", "b", "a"), two, []string{"server name a"}, 1},
	} {
		free, lost := taken.take(c.chain, c.by)
		var told []string
		for _, p := range lost {
			told = append(told, p.String())
		}
		if len(free) != c.free || !slices.Equal(told, c.lost) {
			t.Errorf("%v: free %v, lost %v; want %d, %v", c.chain, free, told, c.free, c.lost)
		}
	}
}
