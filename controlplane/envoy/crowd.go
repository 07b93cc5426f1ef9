// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
)

// Crowd is how many hosts must be routed alike before they share one virtual host.
// A virtual host costs Envoy's main thread time and memory, and one more name of it
// next to nothing. Below it each host has its own, by whose name EnvoyFilters match it.
const Crowd = 500

// Crowded puts virtual hosts together that differ in name and domains only, where
// there are more of them than Crowd: the first one gets the domains of all. The order
// stays; given ones are not changed.
func Crowded(hosts []*routev3.VirtualHost) []*routev3.VirtualHost {
	if len(hosts) <= Crowd {
		return hosts
	}
	content := make([]string, len(hosts))
	alike := map[string]int{}
	for i, h := range hosts {
		bare := proto.CloneOf(h)
		bare.Name, bare.Domains = "", nil
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
		if err != nil {
			return hosts
		}
		content[i] = string(b)
		alike[content[i]]++
	}
	out := make([]*routev3.VirtualHost, 0, len(alike))
	first := map[string]*routev3.VirtualHost{}
	for i, h := range hosts {
		switch of := first[content[i]]; {
		case alike[content[i]] <= Crowd:
			out = append(out, h)
		case of == nil:
			all := proto.CloneOf(h)
			first[content[i]] = all
			out = append(out, all)
		default:
			of.Domains = append(of.Domains, h.GetDomains()...)
		}
	}
	return out
}
