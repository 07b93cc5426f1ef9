// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// fine is by how much per cents are multiplied, so that localities that share
// one lose nothing to rounding.
const fine = 10000

// Weights of localities when l distributes: what sums holds for each locality
// (the weights of its endpoints together) is replaced by its share. A locality
// with 0 gets nothing and is left out. ok is false when l says nothing for
// callers there; sums hold then.
func Weights(l *model.LocalityBalancing, from model.Locality, localities []model.Locality, sums []uint32) (weights []uint32, ok bool) {
	to := shares(l, from)
	if to == nil {
		return sums, false
	}
	// The most specific pattern that a locality matches is its own.
	order := slices.Clone(to)
	slices.SortStableFunc(order, func(a, b model.LocalityWeight) int {
		return cmp.Or(cmp.Compare(specific(b.Locality), specific(a.Locality)), strings.Compare(a.Locality, b.Locality))
	})
	pattern := make([]int, len(localities))
	totals := make([]uint64, len(order))
	for i, at := range localities {
		pattern[i] = slices.IndexFunc(order, func(w model.LocalityWeight) bool { return within(w.Locality, at) })
		if pattern[i] >= 0 {
			totals[pattern[i]] += uint64(sums[i])
		}
	}
	weights = make([]uint32, len(localities))
	for i := range localities {
		if p := pattern[i]; p >= 0 && totals[p] > 0 && order[p].Weight > 0 {
			weights[i] = uint32(max(uint64(min(order[p].Weight, 100))*fine*uint64(sums[i])/totals[p], 1))
		}
	}
	return weights, true
}

// shares of localities for callers somewhere: the first that fits; nil for none.
func shares(l *model.LocalityBalancing, from model.Locality) []model.LocalityWeight {
	if l == nil {
		return nil
	}
	for _, d := range l.Distribute {
		if within(d.From, from) {
			return d.To
		}
	}
	return nil
}

// within is true when a locality matches a pattern: "*" stands for the rest,
// and what a pattern leaves out is any.
func within(pattern string, at model.Locality) bool {
	have := [...]string{at.Region, at.Zone, at.SubZone}
	for i, want := range strings.Split(pattern, "/") {
		if want == "*" {
			return true
		}
		if i >= len(have) || have[i] != want {
			return false
		}
	}
	return true
}

// specific counts the names in a pattern.
func specific(pattern string) int {
	n := 0
	for part := range strings.SplitSeq(pattern, "/") {
		if part != "*" {
			n++
		}
	}
	return n
}

func subsets(p *model.DestinationPolicy) []model.TrafficPolicy {
	out := make([]model.TrafficPolicy, len(p.Subsets))
	for i := range p.Subsets {
		out[i] = p.Subsets[i].Policy
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
