// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// allocatable is the range that addresses are allocated from, as in Istio; what
// other members export has addresses of it too.
var allocatable = netip.MustParsePrefix("240.240.0.0/16")

// places is how many addresses there are: a prime, so that every step meets
// every place.
const places = 65521

// allocate gives each host that wants one an address out of its namespace and
// name, so that all control planes and all restarts agree without memory. The
// older entry stays where it is when two meet. Taken addresses are somebody
// else's.
func allocate(hosts []*host, taken map[netip.Addr]bool) []model.Problem {
	var wanting []*host
	for _, h := range hosts {
		if h.wantsAddress() {
			wanting = append(wanting, h)
		}
	}
	slices.SortStableFunc(wanting, func(a, b *host) int { return a.parts[0].Older(b.parts[0].Origin) })
	var problems []model.Problem
	for n, h := range wanting {
		hash := fnv.New64a()
		// A hash takes every byte.
		_, _ = hash.Write([]byte(h.namespace + "/" + string(h.name)))
		sum := hash.Sum64()
		place, step := sum%places, 1+(sum>>32)%(places-1)
		for tries := 0; taken[addressAt(place)] && tries < places; tries++ {
			place = (place + step) % places
		}
		if taken[addressAt(place)] {
			for _, h := range wanting[n:] {
				problems = append(problems, h.parts[0].Problem("spec.addresses", conflict,
					"no address is left for "+string(h.name)+"; give it addresses, or have fewer entries without"))
			}
			return problems
		}
		h.address = addressAt(place)
		taken[h.address] = true
	}
	return problems
}

// addressAt leaves the first and the last addresses of the range free.
func addressAt(place uint64) netip.Addr {
	n := place + 1
	return netip.AddrFrom4([4]byte{240, 240, byte(n >> 8), byte(n)})
}
