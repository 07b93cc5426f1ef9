// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// HasIPv6 tells whether the network namespace of the process has an IPv6
// address that others reach.
func HasIPv6() (bool, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("list the addresses of the pod: %w", err)
	}
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is6() && p.Addr().IsGlobalUnicast() {
			return true, nil
		}
	}
	return false, nil
}

// AddInboundSource gives the loopback interface ::6, from which the proxy
// calls the application over IPv6. (127.0.0.6 is there by itself: the whole of
// 127.0.0.0/8 is local.)
func AddInboundSource() error {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	defer func() { _ = conn.Close() }()

	address := ipv6.inboundSource.Addr().AsSlice()
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.IFA_LOCAL, Data: address},
		{Type: unix.IFA_ADDRESS, Data: address},
	})
	if err != nil {
		return fmt.Errorf("encode the address %s: %w", ipv6.inboundSource, err)
	}
	// struct ifaddrmsg: family, prefix length, flags, scope, interface index.
	header := []byte{unix.AF_INET6, byte(ipv6.inboundSource.Bits()), unix.IFA_F_NODAD, unix.RT_SCOPE_HOST}
	header = append(header, binaryutil.NativeEndian.PutUint32(uint32(lo.Index))...)
	_, err = conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_NEWADDR, Flags: netlink.Request | netlink.Create | netlink.Acknowledge},
		Data:   append(header, attributes...),
	})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %s to the loopback interface: %w", ipv6.inboundSource, err)
	}
	return nil
}
