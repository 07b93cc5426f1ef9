// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// fullName completes a name without a dot by the object's namespace: it is a
// service there.
func (r *reader) fullName(host string) string {
	host = strings.ToLower(host)
	if host == "*" || strings.ContainsAny(host, ".:") {
		return host
	}
	return host + "." + r.origin.Namespace + ".svc." + r.settings.DomainSuffix
}

// host is the full form of a host as it is written; false when it is none.
// Wildcards are "*", or "*." and a name.
func (r *reader) host(field, host string) (string, bool) {
	name := strings.ToLower(host)
	if strings.HasPrefix(name, "*") {
		if name == "*" {
			return name, true
		}
		if !strings.HasPrefix(name, "*.") {
			if why := notAName("x" + name[1:]); why != "" {
				r.refuse(field, "%.100q is no host: %s, and a wildcard only in front", host, why)
				return "", false
			}
			r.tell(field, notSupported, "in %.100q the wildcard is only a part of a label; write \"*.\" and a name", host)
			return "", false
		}
		name = name[len("*."):]
	}
	if why := notAName(name); why != "" {
		r.refuse(field, "%.100q is no host: %s", host, why)
		return "", false
	}
	if strings.Contains(name, "_") {
		r.reject(field, "%.100q has an underscore, which names of hosts don't have; correct it", host)
	}
	return r.fullName(host), true
}

// fqdn rejects names that aren't full ones of the public kind: with underscores,
// a wildcard, or only digits at the end. Addresses may be.
func (r *reader) fqdn(field, name string) {
	if _, err := netip.ParseAddr(name); err == nil {
		return
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.ContainsAny(name, "_*") || strings.Trim(last, "0123456789") == "" && last != "" {
		r.reject(field, "%.100q is no full name: underscores, wildcards, and only digits after the last dot can't be in it; correct it", name)
	}
}

// notAName says why a text is neither a DNS name (RFC 1123) nor an address;
// empty when it is one.
func notAName(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return ""
	}
	if name == "" || len(name) > 253 {
		return fmt.Sprintf("it has %d characters; a name has 1 to 253", len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return fmt.Sprintf("%.70q is no part of a name; use up to 63 letters, digits and hyphens between dots", label)
		}
	}
	return ""
}

// isLabel is true for a part of a DNS name. Underscores aren't in the RFC, and are in use.
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && onlyHas(s, "-_")
}

// onlyHas is true when a text is made of ASCII letters, digits and these.
func onlyHas(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(others, c) >= 0) {
			return false
		}
	}
	return true
}

// isLabelKey and isLabelValue are Kubernetes' syntax of labels.
func isLabelKey(key string) bool {
	prefix, name, ok := strings.Cut(key, "/")
	switch {
	case !ok:
		name = key
	case prefix == "" || notAName(prefix) != "":
		return false
	}
	return name != "" && isLabelValue(name)
}

func isLabelValue(value string) bool {
	if value == "" {
		return true
	}
	ends := value[:1] + value[len(value)-1:]
	return len(value) <= 63 && onlyHas(value, "-_.") && onlyHas(ends, "")
}

// subset name of a DestinationRule: it becomes a part of a cluster's name. False
// when it can't.
func (r *reader) subset(field, name string) bool {
	if name == "" || len(name) > 63 || !onlyHas(name, "-_.") {
		r.refuse(field, "%.100q is no name of a subset; use up to 63 letters, digits and hyphens", name)
		return false
	}
	if !isLabel(name) || strings.Contains(name, "_") {
		r.reject(field, "%q is no name of a subset; use letters, digits, and hyphens between them", name)
	}
	return true
}

// maxHeader is how long Envoy lets the name, and the value, of a header be.
const maxHeader = 16384

// isHeader is true for the name of a header (RFC 9110, token), or of a pseudo header.
func isHeader(name string) bool {
	return name != "" && len(name) <= maxHeader && onlyHas(strings.TrimPrefix(name, ":"), "!#$%&'*+-.^_`|~")
}

// isHeaderValue has nothing in it that ends a line.
func isHeaderValue(value string) bool {
	return len(value) <= maxHeader && !strings.ContainsAny(value, "\r\n\x00")
}

// prefix is an address, or a range of addresses, in CIDR form.
func (r *reader) prefix(field, text string) (string, bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()).String(), true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		r.refuse(field, "%.100q is no address and no range; write 10.1.2.3 or 10.1.0.0/16", text)
		return "", false
	}
	return p.Masked().String(), true
}

// gatewayRef of a gateway as VirtualServices name it: "mesh", a name,
// "namespace/name", or the old form that is a DNS name.
func (r *reader) gatewayRef(field, name string) (model.GatewayRef, bool) {
	if name == model.Sidecars.Name {
		return model.Sidecars, true
	}
	written := name
	namespace, rest, slash := strings.Cut(name, "/")
	switch {
	case slash && namespace == ".":
		r.reject(field, "a gateway of this namespace is named without it; write %.100q", rest)
		name, namespace = rest, r.origin.Namespace
	case slash:
		name = rest
	case strings.Contains(name, "."):
		short := strings.TrimSuffix(strings.TrimSuffix(name, "."+r.settings.DomainSuffix), ".svc")
		name, namespace, _ = strings.Cut(short, ".")
	default:
		namespace = r.origin.Namespace
	}
	if !slash {
		r.fqdn(field, written)
	}
	if !isLabel(namespace) || notAName(name) != "" {
		r.refuse(field, "%.150q names no gateway; write namespace/name, or mesh for all sidecars", written)
		return model.GatewayRef{}, false
	}
	return model.GatewayRef{Namespace: namespace, Name: name}, true
}

func compareGatewayRefs(a, b model.GatewayRef) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}
