// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"net/netip"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// reserved holds the addresses that this package gives to imported services,
// and nothing that can be reached.
var reserved = netip.MustParsePrefix("240.0.0.0/4")

// remoteAddress checks an address that another member announces, and returns
// its canonical form, or why it cannot be used: none of these is in another
// cluster, all of them are near the caller.
func remoteAddress(text string) (netip.Addr, string) {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return ip, "it is no IP address"
	}
	if ip.Zone() != "" {
		return ip, "it has a zone"
	}
	ip = ip.Unmap()
	switch {
	case ip.IsUnspecified():
		return ip, "it is unspecified"
	case ip.IsLoopback():
		return ip, "it is a loopback address"
	case ip.IsLinkLocalUnicast():
		return ip, "it is link-local"
	case ip.IsMulticast():
		return ip, "it is a multicast address"
	case ip.Is4() && reserved.Contains(ip):
		return ip, "it is in the reserved range " + reserved.String()
	case ip.Is4() && ip.As4()[0] == 0:
		return ip, "it is on no network"
	}
	return ip, ""
}

// isAddress is true for an IP address.
func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// gatewayAddress checks where a member's gateway is said to be: an IP address
// or a DNS name that is resolved outside this cluster.
func gatewayAddress(g model.GatewayAddress, domainSuffix string) (string, string) {
	if g.Port == 0 {
		return "", "0 is no port"
	}
	if ip, err := netip.ParseAddr(g.Address); err == nil {
		ip, why := remoteAddress(ip.String())
		return ip.String(), why
	}
	name := strings.ToLower(strings.TrimSuffix(g.Address, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case !isName(name) || strings.Trim(last, "0123456789") == "":
		return "", "it is neither an IP address nor a DNS name"
	case last == name:
		return "", "a DNS name needs a dot, or it is looked up in this cluster"
	case last == "localhost":
		return "", "it is this host"
	case strings.HasSuffix(name, ".svc."+domainSuffix) || strings.HasSuffix(name, "."+clusterSet):
		return "", "it is a name of this cluster"
	}
	return name, ""
}
