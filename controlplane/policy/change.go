// SPDX-License-Identifier: Apache-2.0

package policy

import "github.com/isthmesh/isthmesh/controlplane/model"

// Change is what differs between the policies of two meshes.
type Change struct {
	root string
	// all: everything may be another.
	all bool
	of  []target
}

type target struct {
	namespace string
	target    model.Target
}

// Changed from one mesh's policies to another's: those that only one of them
// has. Policies that both have stand in the same order in both.
func Changed(before, after *model.Mesh) Change {
	if before == nil || before.Settings == nil || after.Settings == nil || before.Settings.RootNamespace != after.Settings.RootNamespace {
		return Change{all: true}
	}
	out := Change{root: after.Settings.RootNamespace}
	out.of = differ(out.of, before.Authorizations, after.Authorizations, func(a *model.Authorization) target { return target{a.Namespace, a.Target} })
	out.of = differ(out.of, before.Authentications, after.Authentications, func(a *model.RequestAuthentication) target { return target{a.Namespace, a.Target} })
	return out
}

// differ adds those that only one of two slices has.
func differ[T any](out []target, before, after []*T, of func(*T) target) []target {
	if len(before) == len(after) && (len(before) == 0 || &before[0] == &after[0]) {
		return out
	}
	had := make(map[*T]bool, len(before))
	for _, p := range before {
		had[p] = true
	}
	for _, p := range after {
		if had[p] {
			delete(had, p)
		} else {
			out = append(out, of(p))
		}
	}
	for _, p := range before {
		if had[p] {
			out = append(out, of(p))
		}
	}
	return out
}

// Concerns is true when what Choose chose for g before the change may not be what
// it chooses after it.
func (c Change) Concerns(g Guarded) bool {
	if c.all {
		return true
	}
	for _, t := range c.of {
		if g.Under(c.root, t.namespace, t.target) {
			return true
		}
	}
	return false
}
