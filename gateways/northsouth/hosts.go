// SPDX-License-Identifier: Apache-2.0

package northsouth

import "strings"

// Hosts are names, "*", or "*." and a suffix. A wildcard stands for one label
// or more.

// covers is true when every name that b stands for is one that a stands for.
func covers(a, b string) bool {
	switch {
	case a == b || a == "*":
		return true
	case !strings.HasPrefix(a, "*."):
		return false
	}
	return strings.HasSuffix(b, a[1:])
}

// intersect is the narrower of two hosts when one covers the other.
func intersect(a, b string) (string, bool) {
	switch {
	case covers(a, b):
		return b, true
	case covers(b, a):
		return a, true
	}
	return "", false
}

// specificity orders hosts: names before wildcards, long before short.
func specificity(host string) int {
	switch {
	case host == "*":
		return 0
	case strings.HasPrefix(host, "*"):
		return len(host)
	}
	return 1<<16 + len(host)
}

// usable is true for hosts that Envoy can match.
func usable(host string) bool {
	if host == "*" {
		return true
	}
	rest := strings.TrimPrefix(host, "*.")
	return rest != "" && !strings.ContainsAny(rest, "* \t/")
}
