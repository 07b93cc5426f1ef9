// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"net/netip"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// clusterSet is the suffix of the multi-cluster services API.
const clusterSet = "clusterset.local"

// isName is true for a DNS name: labels of lower-case letters, digits and
// hyphens, joined by dots (RFC 1123).
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	other := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	return strings.IndexFunc(s, other) < 0
}

// isWildcard is true for "*." and a name.
func isWildcard(host model.Hostname) bool { return strings.HasPrefix(string(host), "*.") }

// readHost is the canonical form of a host, or why it can't be one.
func readHost(text string) (model.Hostname, string) {
	host := strings.ToLower(strings.TrimSuffix(text, "."))
	switch name := strings.TrimPrefix(host, "*."); {
	case host == "*":
		return "", "a wildcard needs a domain, such as *.example.com"
	case !isName(name):
		return "", "it is no DNS name, nor one that begins with *."
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", "it is an address; put it into addresses, and a name here"
	}
	return model.Hostname(host), ""
}

// ownerOf is the namespace and the name that a host of the cluster's own domain
// spells, such as reviews.shop.svc.cluster.local; false for other hosts. The
// name is empty for a wildcard, and the namespace too when it spans several.
func ownerOf(host model.Hostname, suffix string) (namespace, name string, ok bool) {
	for _, domain := range []string{"svc." + suffix, "svc." + clusterSet} {
		if base, ok := strings.CutPrefix(string(host), "*."); ok && (base == domain || strings.HasSuffix(domain, "."+base)) {
			return "", "", true
		}
		rest, found := strings.CutSuffix(string(host), "."+domain)
		if !found {
			continue
		}
		namespace = rest[strings.LastIndexByte(rest, '.')+1:]
		name = strings.TrimSuffix(strings.TrimSuffix(rest, namespace), ".")
		if name == "*" || strings.Contains(name, ".") {
			// A pod's name, or a wildcard below the namespace.
			name = ""
		}
		if namespace == "*" {
			namespace = ""
		}
		return namespace, name, true
	}
	return "", "", false
}

// ParseLocality reads region/zone/subzone; labels, which can't hold a slash,
// have dots instead. What comes after the second separator is the subzone.
func ParseLocality(s string) model.Locality {
	separator := "."
	if strings.Contains(s, "/") {
		separator = "/"
	}
	parts := append(strings.SplitN(s, separator, 3), "", "")
	return model.Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]}
}

// Identity is the SPIFFE ID of a service account.
func Identity(trustDomain, namespace, account string) string {
	return "spiffe://" + trustDomain + "/ns/" + namespace + "/sa/" + account
}
