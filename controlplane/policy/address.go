// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net/netip"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// block is an address, or a block in CIDR notation; false when it is neither.
func block(value string) (*corev3.CidrRange, bool) {
	if a, err := netip.ParseAddr(value); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return &corev3.CidrRange{AddressPrefix: a.String(), PrefixLen: wrapperspb.UInt32(uint32(a.BitLen()))}, true
	}
	p, err := netip.ParsePrefix(value)
	if err != nil {
		return nil, false
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	p = p.Masked()
	return &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}, true
}

// sourceIP is the address that the connection comes from, remoteIP the one that
// trusted proxies say it came from at first.
func sourceIP(value string) (*principal, bool) {
	c, ok := block(value)
	return &principal{Identifier: &rbacv3.Principal_DirectRemoteIp{DirectRemoteIp: c}}, ok
}

func remoteIP(value string) (*principal, bool) {
	c, ok := block(value)
	return &principal{Identifier: &rbacv3.Principal_RemoteIp{RemoteIp: c}}, ok
}

func destinationIP(value string) (*permission, bool) {
	c, ok := block(value)
	return &permission{Rule: &rbacv3.Permission_DestinationIp{DestinationIp: c}}, ok
}

func destinationPort(value string) (*permission, bool) {
	n, err := strconv.ParseUint(value, 10, 16)
	return &permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: uint32(n)}}, err == nil && n > 0
}

func serverName(value string) *permission {
	return &permission{Rule: &rbacv3.Permission_RequestedServerName{RequestedServerName: parse(strings.ToLower(value)).matcher(false)}}
}
