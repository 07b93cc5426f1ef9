// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"slices"
	"strings"
)

// intersect returns the more specific of a listener's hostname and a route's;
// false when no name fits both. Empty and "*" fit every name. A wildcard stands
// for one or more labels.
func intersect(listener, route string) (string, bool) {
	listener, route = strings.ToLower(listener), strings.ToLower(route)
	switch {
	case anyHost(listener):
		if anyHost(route) {
			return "*", true
		}
		return route, true
	case anyHost(route), listener == route:
		return listener, true
	case covers(listener, route):
		return route, true
	case covers(route, listener):
		return listener, true
	}
	return "", false
}

func anyHost(h string) bool { return h == "" || h == "*" }

// covers is true when a wildcard stands for a name, or for a narrower wildcard.
func covers(wide, narrow string) bool {
	suffix, ok := strings.CutPrefix(wide, "*")
	return ok && len(narrow) > len(suffix) && strings.HasSuffix(strings.TrimPrefix(narrow, "*"), suffix)
}

// intersectAll is the names that a listener and a route both take, sorted.
func intersectAll(listener string, route []string) []string {
	if len(route) == 0 {
		route = []string{"*"}
	}
	var both []string
	for _, r := range route {
		if h, ok := intersect(listener, r); ok {
			both = append(both, h)
		}
	}
	slices.Sort(both)
	return slices.Compact(both)
}
