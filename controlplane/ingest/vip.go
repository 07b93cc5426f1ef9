// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// places is how many VIPs there are in 240.240.0.0/16: a prime, so that every
// step meets every place.
const places = 65521

// allocate gives each group an address out of its name, so that all control
// planes and all restarts agree without memory. Where two names meet, the
// older export stays where it is, so that a new one moves no other.
func allocate(groups []*group) []model.Problem {
	byAge := slices.Clone(groups)
	slices.SortFunc(byAge, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.exports[0].export.CreatedUnix, b.exports[0].export.CreatedUnix), a.key.compare(b.key))
	})
	var problems []model.Problem
	taken := make(map[uint64]bool, len(groups))
	for _, g := range byAge {
		if len(taken) == places {
			problems = append(problems, problemOf(kindServiceImport, g.key, "", Conflict,
				"no address is left for it: %d services are imported already; import fewer", places))
			continue
		}
		h := fnv.New64a()
		// A hash takes every byte.
		_, _ = h.Write([]byte(g.key.String()))
		sum := h.Sum64()
		place, step := sum%places, 1+(sum>>32)%(places-1)
		for taken[place] {
			place = (place + step) % places
		}
		taken[place] = true
		// The first and the last addresses of the range stay free.
		n := place + 1
		g.address = netip.AddrFrom4([4]byte{240, 240, byte(n >> 8), byte(n)})
	}
	return problems
}
