// SPDX-License-Identifier: Apache-2.0

package component

import (
	"fmt"
	"strings"
)

// MasqueradeRules is the nftables script of a node: what its pods send to
// anything but pods leaves with the node's address, so clusters are different
// networks to each other; the pods of flat peers are the exception. The script
// may be run again and again.
func MasqueradeRules(s Spec) string {
	near := []string{s.Cluster.PodCIDR.String()}
	for _, peer := range s.Flat {
		near = append(near, peer.PodCIDR.String())
	}
	return fmt.Sprintf(`table ip isthmesh-lab
delete table ip isthmesh-lab
table ip isthmesh-lab {
	set pods {
		type ipv4_addr
		flags interval
		elements = { %s }
	}
	chain postrouting {
		type nat hook postrouting priority 100
		ip saddr %s ip daddr != @pods ip daddr != 224.0.0.0/4 masquerade
	}
}
`, strings.Join(near, ", "), s.Cluster.PodCIDR)
}

// Routes are the arguments of `ip` that make flat peers' pods reachable.
func Routes(s Spec) [][]string {
	var routes [][]string
	for _, peer := range s.Flat {
		routes = append(routes, []string{"route", "replace", peer.PodCIDR.String(), "via", peer.NodeIP.String()})
	}
	return routes
}
