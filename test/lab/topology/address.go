// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"net/netip"
)

// NodeNetwork is the network that all nodes of a lab share, and Gateway the
// machine's own address in it.
var (
	NodeNetwork = netip.MustParsePrefix("10.211.0.0/16")
	Gateway     = netip.MustParseAddr("10.211.0.1")
)

// NodeIP is the address of the cluster's node. It follows from the second and
// third byte of the pod subnet, so it is the same each time, and nothing has
// to remember it: 10.11.0.0/16 gives 10.211.11.2.
func (c Cluster) NodeIP() (netip.Addr, error) {
	pods := c.PodCIDR.Addr().As4()
	if pods[2] > 252 {
		return netip.Addr{}, fmt.Errorf("%s: the third byte must be at most 252, as the node's address is made of it", c.PodCIDR)
	}
	for _, cidr := range []netip.Prefix{c.PodCIDR, c.ServiceCIDR} {
		if cidr.Overlaps(NodeNetwork) {
			return netip.Addr{}, fmt.Errorf("%s overlaps %s, the network of the nodes", cidr, NodeNetwork)
		}
	}
	base := NodeNetwork.Addr().As4()
	return netip.AddrFrom4([4]byte{base[0], base[1], pods[1], pods[2] + 2}), nil
}

// LoadBalancers are the addresses for Services of type LoadBalancer that can't
// share the node's: the upper half of the network whose second address the node
// has. A node with another address has none.
func LoadBalancers(node netip.Addr) (netip.Prefix, bool) {
	if !NodeNetwork.Contains(node) || node.As4()[3] != 2 {
		return netip.Prefix{}, false
	}
	a := node.As4()
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a[0], a[1], a[2], 128}), 25), true
}

// ServiceIP is the nth address of the service subnet: the first is the API
// server's, the tenth the cluster DNS's.
func (c Cluster) ServiceIP(n int) netip.Addr {
	addr := c.ServiceCIDR.Addr()
	for range n {
		addr = addr.Next()
	}
	return addr
}
