// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/node"
	"github.com/vishvananda/netlink"
)

// Plug gives the network namespace of a process a cable to the switch, and a
// name under which it can be entered.
func Plug(d layout.Cluster, pid int, address netip.Addr) error {
	if err := nameNetns(d.Netns(), fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
		return err
	}
	inside, closeAll, err := switchHandle()
	if err != nil {
		return err
	}
	defer closeAll()
	bridge, err := inside.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = d.Link()
	attrs.MasterIndex = bridge.Attrs().Index
	cable := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         node.Interface,
		PeerHardwareAddr: hardwareAddress(address),
		PeerNamespace:    netlink.NsPid(pid),
	}
	if err := inside.LinkAdd(cable); err != nil {
		return fmt.Errorf("add cable %s: %w", d.Link(), err)
	}
	if err := inside.LinkSetUp(cable); err != nil {
		return fmt.Errorf("set cable %s up: %w", d.Link(), err)
	}
	return nil
}

// Unplug removes the cable and the name of the network namespace.
func Unplug(d layout.Cluster) error {
	if err := removeCable(d); err != nil {
		return fmt.Errorf("remove cable %s: %w", d.Link(), err)
	}
	return removeNetns(d.Netns())
}

func removeCable(d layout.Cluster) error {
	inside, closeAll, err := switchHandle()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeAll()
	cable, err := inside.LinkByName(d.Link())
	if err == nil {
		err = inside.LinkDel(cable)
	}
	if isNotFound(err) {
		return nil
	}
	return err
}

// hardwareAddress follows from the node's address, so that neighbours need
// not learn a new one when a cluster is stopped and started.
func hardwareAddress(address netip.Addr) net.HardwareAddr {
	ip := address.As4()
	return net.HardwareAddr{0x02, 0x69, ip[0], ip[1], ip[2], ip[3]}
}
