// SPDX-License-Identifier: Apache-2.0

// Package machine is what the lab does to the machine it runs on: one switch
// that the clusters are plugged into, one named network namespace per cluster,
// and cgroups for pods. Everything here has its opposite, and Leftovers finds
// what is left.
package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/topology"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The switch is a bridge in a network namespace of its own: there the
// machine's firewall, which may well forbid forwarding, does not see what
// clusters say to each other. No cluster can be named like these, as theirs
// have no underscore.
const (
	switchNetns = "/run/netns/" + layout.Prefix + "_switch"
	// hostLink is the machine's end of its own cable to the switch.
	hostLink   = layout.Prefix + "_host"
	bridgeName = "bridge"
)

// EnsureSwitch makes the switch and plugs the machine in with the gateway's
// address.
func EnsureSwitch() error {
	if err := ensureNetns(switchNetns); err != nil {
		return err
	}
	inside, closeAll, err := switchHandle()
	if err != nil {
		return err
	}
	defer closeAll()
	bridge, err := ensureBridge(inside)
	if err != nil {
		return err
	}
	host, err := netlink.LinkByName(hostLink)
	if isNotFound(err) {
		host, err = plugHost(inside, bridge)
	}
	if err != nil {
		return fmt.Errorf("cable %s: %w", hostLink, err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{
		IP:   topology.Gateway.AsSlice(),
		Mask: net.CIDRMask(topology.NodeNetwork.Bits(), 32),
	}}
	if err := netlink.AddrReplace(host, address); err != nil {
		return fmt.Errorf("give %s to %s: %w", topology.Gateway, hostLink, err)
	}
	if err := netlink.LinkSetUp(host); err != nil {
		return fmt.Errorf("set %s up: %w", hostLink, err)
	}
	return nil
}

// RemoveSwitch removes the switch and the machine's cable to it.
func RemoveSwitch() error {
	host, err := netlink.LinkByName(hostLink)
	if err == nil {
		err = netlink.LinkDel(host)
	}
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("remove cable %s: %w", hostLink, err)
	}
	return removeNetns(switchNetns)
}

func ensureBridge(inside *netlink.Handle) (netlink.Link, error) {
	bridge, err := inside.LinkByName(bridgeName)
	if isNotFound(err) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = bridgeName
		if err := inside.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return nil, fmt.Errorf("add bridge: %w", err)
		}
		bridge, err = inside.LinkByName(bridgeName)
	}
	if err != nil {
		return nil, fmt.Errorf("find bridge: %w", err)
	}
	if err := inside.LinkSetUp(bridge); err != nil {
		return nil, fmt.Errorf("set bridge up: %w", err)
	}
	return bridge, nil
}

func plugHost(inside *netlink.Handle, bridge netlink.Link) (netlink.Link, error) {
	home, err := netns.Get()
	if err != nil {
		return nil, err
	}
	defer func() { _ = home.Close() }()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "host"
	attrs.MasterIndex = bridge.Attrs().Index
	cable := &netlink.Veth{LinkAttrs: attrs, PeerName: hostLink, PeerNamespace: netlink.NsFd(int(home))}
	if err := inside.LinkAdd(cable); err != nil {
		return nil, err
	}
	if err := inside.LinkSetUp(cable); err != nil {
		return nil, err
	}
	return netlink.LinkByName(hostLink)
}

// switchHandle speaks to the kernel about the switch's network namespace. An
// error that is fs.ErrNotExist means that there is no switch.
func switchHandle() (*netlink.Handle, func(), error) {
	ns, err := netns.GetFromPath(switchNetns)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", switchNetns, err)
	}
	handle, err := netlink.NewHandleAt(ns)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("enter %s: %w", switchNetns, err), ns.Close())
	}
	return handle, func() { handle.Close(); _ = ns.Close() }, nil
}

// ensureNetns makes a network namespace that no process is in, under a name.
func ensureNetns(path string) error {
	if ns, err := netns.GetFromPath(path); err == nil {
		named := isNetns(path)
		if err := ns.Close(); named || err != nil {
			return err
		}
	}
	made := make(chan error)
	go func() { made <- makeNetns(path) }()
	return <-made
}

// makeNetns takes a thread into a new network namespace and back. A thread
// that cannot come back stays locked, and so ends with the goroutine.
func makeNetns(path string) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		return fmt.Errorf("own network namespace: %w", err)
	}
	defer func() { _ = home.Close() }()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	named := nameNetns(path, fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err := netns.Set(home); err != nil {
		return errors.Join(named, fmt.Errorf("return from network namespace: %w", err))
	}
	runtime.UnlockOSThread()
	return named
}

// isNetns tells a network namespace from the empty file that one was mounted on.
func isNetns(path string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(path, &stat) == nil && stat.Type == unix.NSFS_MAGIC
}

// nameNetns gives the network namespace at source a name, which keeps it.
func nameNetns(path, source string) error {
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE, 0o444)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("name network namespace %s: %w", path, err)
	}
	return nil
}

func removeNetns(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The folder is ours only as long as nobody else has a name in it.
	if err := os.Remove("/run/netns"); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
		return err
	}
	return nil
}

func isNotFound(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound) || errors.Is(err, unix.ENODEV)
}
