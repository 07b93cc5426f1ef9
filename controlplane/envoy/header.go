// SPDX-License-Identifier: Apache-2.0

package envoy

import "strings"

// maxHeader is the most bytes that Envoy's API takes in a header's name or value.
const maxHeader = 16384

// ValidName is true for a name that a header can have (RFC 9110, token). Envoy
// refuses a configuration with any other.
func ValidName(name string) bool {
	if name == "" || len(name) > maxHeader {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return true
}

// ValidValue is true for a value that a header can have.
func ValidValue(value string) bool {
	return len(value) <= maxHeader && !strings.ContainsAny(value, "\r\n\x00")
}
