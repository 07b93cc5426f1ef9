// SPDX-License-Identifier: Apache-2.0

package policy

import "github.com/isthmesh/isthmesh/controlplane/model"

// reading is how rules are read.
type reading struct {
	settings *model.Settings
	// refuses: what matches is refused or looked at more closely (DENY, CUSTOM, AUDIT);
	// otherwise it is let in (ALLOW).
	refuses bool
	// tcp: there are no requests, only a connection.
	tcp bool
}

// logic puts matches of one of Envoy's two types together.
type logic[T any] struct {
	one, all func(...T) T
	not      func(T) T
	any      func() T
}

var (
	permissions = logic[*permission]{onePermission, allPermissions, notPermission, anyPermission}
	principals  = logic[*principal]{onePrincipal, allPrincipals, notPrincipal, anyPrincipal}
)

// matching turns one value into a match, read wide or not. False when it can't
// be had.
type matching[T any] func(value string, wide bool) (T, bool)

// values are what must hold for one field. What can't be had counts against
// the caller.
func (l logic[T]) values(r reading, v model.Values, match matching[T]) []T {
	var held []T
	if len(v.In) > 0 {
		var ways []T
		for _, value := range v.In {
			m, ok := match(value, r.refuses)
			switch {
			case ok:
				ways = append(ways, m)
			case r.refuses:
				ways = append(ways, l.any())
			}
		}
		held = append(held, l.one(ways...))
	}
	for _, value := range v.NotIn {
		m, ok := match(value, !r.refuses)
		switch {
		case ok:
			held = append(held, l.not(m))
		case !r.refuses:
			held = append(held, l.not(l.any()))
		}
	}
	return held
}

// always is a match that can be had and reads the same both ways.
func always[T any](f func(string) T) matching[T] {
	return func(value string, _ bool) (T, bool) { return f(value), true }
}

// certain is a match that reads the same both ways.
func certain[T any](f func(string) (T, bool)) matching[T] {
	return func(value string, _ bool) (T, bool) { return f(value) }
}

// identities are what must hold of the caller's certificate. A caller without
// one is not let in for being nobody in particular, unless a policy asks just
// for those who have none.
func (r reading) identities(v model.Values, match func(string) *principal) []*principal {
	held := principals.values(r, v, always(match))
	if len(v.NotIn) > 0 && !r.refuses {
		for _, value := range v.NotIn {
			if value == "*" {
				return held
			}
		}
		held = append(held, identified())
	}
	return held
}
