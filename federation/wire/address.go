// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation"
)

// CheckPodAddress takes the unicast addresses that a pod of another member can
// have. Loopback, link-local (where clouds answer for their metadata) and the
// like would mean something else at each importer.
func CheckPodAddress(s string) *Fault {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return fault(ReasonAddress, "address %.80q is not an IP address", s)
	}
	switch {
	case a.Zone() != "" || a.Is4In6() || a.String() != s:
		return fault(ReasonAddress, "address %.80q is not written in its canonical form", s)
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(),
		a.IsInterfaceLocalMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fault(ReasonAddress, "address %s can't be a pod's: it is loopback, link-local, multicast or unspecified", s)
	case a.Is4() && a.As4()[0] == 0:
		return fault(ReasonAddress, "address %s is of 0.0.0.0/8", s)
	}
	return nil
}

// CheckGatewayAddress takes what CheckPodAddress takes, and DNS names.
func CheckGatewayAddress(s string) *Fault {
	if _, err := netip.ParseAddr(s); err == nil {
		return CheckPodAddress(s)
	}
	if e := validation.IsDNS1123Subdomain(s); len(e) > 0 {
		return fault(ReasonAddress, "gateway address %.80q: %s", s, e[0])
	}
	if s == "localhost" {
		return fault(ReasonAddress, "gateway address %q is the importer itself", s)
	}
	return nil
}
