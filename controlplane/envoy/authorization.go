// SPDX-License-Identifier: Apache-2.0

package envoy

import "strings"

// Authorizations begins the names of RBAC filters that discover their rules, and
// of these rules.
const Authorizations = "security.istio.io/authorizationpolicy/"

// Authorizes is true for the names of filters that decide whether a call may be,
// on requests or on connections.
func Authorizes(filter string) bool {
	for _, kind := range [...]string{"envoy.filters.http.", "envoy.filters.network."} {
		if name, ok := strings.CutPrefix(filter, kind); ok {
			return name == "rbac" || strings.HasPrefix(name, "ext_authz")
		}
	}
	return strings.HasPrefix(filter, Authorizations)
}
