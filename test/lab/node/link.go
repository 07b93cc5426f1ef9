// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/topology"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interface is the node's end of the cable.
const Interface = "eth0"

// configureLinks brings up the loopback and the cable, and sends everything
// that is not in the nodes' network to the machine.
func configureLinks(spec component.Spec) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	eth, err := netlink.LinkByName(Interface)
	if err != nil {
		return fmt.Errorf("find %s: %w", Interface, err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{
		IP:   spec.NodeIP.AsSlice(),
		Mask: net.CIDRMask(topology.NodeNetwork.Bits(), 32),
	}}
	if err := netlink.AddrReplace(eth, address); err != nil {
		return fmt.Errorf("give %s to %s: %w", spec.NodeIP, Interface, err)
	}
	if err := netlink.LinkSetUp(eth); err != nil {
		return fmt.Errorf("set %s up: %w", Interface, err)
	}
	route := &netlink.Route{LinkIndex: eth.Attrs().Index, Gw: topology.Gateway.AsSlice()}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route to %s: %w", topology.Gateway, err)
	}
	return answerFor(spec, lo)
}

// answerFor makes the node take what is sent to any of its load balancers'
// addresses, and answer who asks for them: kube-proxy sends it on. One route
// serves for all of them, so an address that a Service gets works at once.
func answerFor(spec component.Spec, lo netlink.Link) error {
	all, ok := topology.LoadBalancers(spec.NodeIP)
	if !ok {
		return nil
	}
	route := &netlink.Route{
		LinkIndex: lo.Attrs().Index, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST,
		Dst: &net.IPNet{IP: all.Addr().AsSlice(), Mask: net.CIDRMask(all.Bits(), 32)},
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("answer for %s: %w", all, err)
	}
	return nil
}
