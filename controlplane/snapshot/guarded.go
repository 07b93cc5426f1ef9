// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// guards are the EnvoyFilters that name an RBAC filter: where one holds the filters
// of policies stand in listeners whole, with Envoy's names, as such filters expect.
type guards struct {
	read    bool
	patches []*model.Patch
	root    string
}

var rbacName = []byte("rbac")

// guardsOf a mesh; before are those of the mesh that was.
func guardsOf(mesh, was *model.Mesh, before guards) guards {
	out := guards{read: true, patches: before.patches, root: mesh.Settings.RootNamespace}
	if before.read && slices.Equal(mesh.Patches, was.Patches) {
		return out
	}
	out.patches = nil
	for _, p := range mesh.Patches {
		if bytes.Contains(p.Match, rbacName) || bytes.Contains(p.Value, rbacName) {
			out.patches = append(out.patches, p)
		}
	}
	return out
}

// guarded is what policies are chosen for, with whether the filters are patched.
func (g guards) guarded(in policy.Guarded) policy.Guarded {
	in.Inline = slices.ContainsFunc(g.patches, func(p *model.Patch) bool { return in.Under(g.root, p.Namespace, p.Target) })
	return in
}
