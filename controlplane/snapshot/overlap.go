// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// overlap of filter chains on one listener: what is matched already, and by whom.
// Envoy takes a match apart into each of its ranges of addresses with each of
// its server names, and refuses a listener in which two chains have one such pair
// (FilterChainMatch).
type overlap map[pair]holding

// holding of a pair: by whom, and what its chain does.
type holding struct {
	by   *chains
	does string
}

// pair of what a chain may match of the address and the name; rest is all else that
// it matches, encoded.
type pair struct{ subnet, name, rest string }

// String names the pair in a problem.
func (p pair) String() string {
	var out []string
	if p.name != "" {
		out = append(out, "server name "+p.name)
	}
	if p.subnet != "" {
		out = append(out, "addresses "+p.subnet)
	}
	if len(out) == 0 {
		return "all connections"
	}
	return strings.Join(out, " at ")
}

// take what of a chain is free: the chain itself if all is, else chains of what
// is left. lost are the pairs that others have for something else: a chain that
// does the same, such as one routing's for two services, loses nothing, nor does
// one that its own service or host is more specific about.
func (o overlap) take(chain *listenerv3.FilterChain, by *chains) (free []*listenerv3.FilterChain, lost []pair) {
	match := chain.GetFilterChainMatch()
	rest := &listenerv3.FilterChainMatch{}
	if match != nil {
		rest = proto.CloneOf(match)
		rest.ServerNames, rest.PrefixRanges = nil, nil
	}
	encoded, _ := proto.MarshalOptions{Deterministic: true}.Marshal(rest)
	does := said(chain)
	names, ranges := match.GetServerNames(), match.GetPrefixRanges()
	if len(names) == 0 {
		names = []string{""}
	}
	if len(ranges) == 0 {
		ranges = []*corev3.CidrRange{nil}
	}
	// Ranges that are left the same names share a chain.
	type part struct {
		names  []string
		ranges []*corev3.CidrRange
	}
	var parts []part
	whole := true
	for _, r := range ranges {
		left := make([]string, 0, len(names))
		for _, n := range names {
			key := pair{subnet(r), strings.ToLower(n), string(encoded)}
			if held, taken := o[key]; taken {
				if held.by != by && held.does != does {
					lost = append(lost, key)
				}
				continue
			}
			o[key] = holding{by, does}
			left = append(left, n)
		}
		whole = whole && len(left) == len(names)
		if len(left) == 0 {
			continue
		}
		i := slices.IndexFunc(parts, func(p part) bool { return slices.Equal(p.names, left) })
		if i < 0 {
			i, parts = len(parts), append(parts, part{names: left})
		}
		if r != nil {
			parts[i].ranges = append(parts[i].ranges, r)
		}
	}
	if whole {
		return []*listenerv3.FilterChain{chain}, lost
	}
	for _, p := range parts {
		c := proto.CloneOf(chain)
		c.FilterChainMatch.PrefixRanges = p.ranges
		if len(c.FilterChainMatch.ServerNames) > 0 {
			c.FilterChainMatch.ServerNames = p.names
		}
		free = append(free, c)
	}
	return free, lost
}

// said is what a chain does, whatever its name and whomever it is for.
func said(chain *listenerv3.FilterChain) string {
	c := proto.CloneOf(chain)
	c.Name, c.FilterChainMatch = "", nil
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	return string(b)
}

// conflict of a service's chains with one that has a pair already.
func (o overlap) conflict(c *chains, over pair) model.Problem {
	who := "another of its hosts"
	if by := o[over].by.origin; by != c.origin {
		who = by.Kind + " " + by.Namespace + "/" + by.Name + ", which is older,"
	}
	return c.origin.Problem("", "HostConflict", who+" takes "+over.String()+" on the same port and keeps it; change one of them")
}

// subnet as text; empty for every address.
func subnet(r *corev3.CidrRange) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%s/%d", r.GetAddressPrefix(), r.GetPrefixLen().GetValue())
}
