// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// addressFindings judge spec.gateway.addresses one by one.
func addressFindings(m *v1alpha1.MeshMember) []finding {
	var out []finding
	for i, address := range m.Spec.Gateway.Addresses {
		field := fmt.Sprintf("spec.gateway.addresses[%d]", i)
		ip, err := netip.ParseAddr(address)
		switch {
		case err != nil:
			if wrong := notAName(address); wrong != "" {
				out = append(out, fatal(field, "%q %s: give an IP address or a DNS name at which other members reach the gateway", address, wrong))
			} else if address == "localhost" || strings.HasSuffix(address, ".localhost") {
				out = append(out, warning(field, "%q is each caller's own machine: give an address that other members reach", address))
			}
		case ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "":
			out = append(out, fatal(field, "%q is no address that can be called from elsewhere: give the one at which other members reach the gateway", address))
		case ip.Unmap().IsLoopback() || ip.IsLinkLocalUnicast():
			out = append(out, warning(field, "%q is reached from its own machine or link only: give an address that other members reach", address))
		}
	}
	return out
}

// notAName says why an address that is no IP address is no DNS name either,
// empty when it is one.
func notAName(address string) string {
	switch last := address[strings.LastIndexByte(address, '.')+1:]; {
	case strings.Contains(address, ":"):
		return "is no IPv6 address"
	case last != "" && strings.Trim(last, "0123456789") == "":
		return "is no IPv4 address"
	case len(validation.IsDNS1123Subdomain(address)) > 0:
		return "is neither an IP address nor a DNS name"
	}
	for label := range strings.SplitSeq(address, ".") {
		if len(label) > validation.DNS1123LabelMaxLength {
			return fmt.Sprintf("has a part of %d characters between dots, of which DNS allows 63", len(label))
		}
	}
	return ""
}

// reachedAt are host:port of the addresses that a member's spec gives, of a
// federation that says the port when the member doesn't; else those that were learned.
func reachedAt(m *v1alpha1.MeshMember, federation *v1alpha1.MeshFederation) []string {
	if len(m.Spec.Gateway.Addresses) == 0 {
		return m.Status.Gateway.Addresses
	}
	const port int32 = 15443 // the definition's default, for objects made without it
	out := make([]string, 0, len(m.Spec.Gateway.Addresses))
	for _, address := range m.Spec.Gateway.Addresses {
		if ip, err := netip.ParseAddr(address); err == nil {
			address = ip.Unmap().String() // one address has several spellings
		}
		out = append(out, net.JoinHostPort(address, strconv.Itoa(int(cmp.Or(m.Spec.Gateway.Port, federation.Spec.EastWestGateway.Port, port)))))
	}
	return out
}

// shared is the first of some addresses that is also among others; empty when none is.
func shared(some, others []string) string {
	for _, a := range some {
		if slices.Contains(others, a) {
			return a
		}
	}
	return ""
}
