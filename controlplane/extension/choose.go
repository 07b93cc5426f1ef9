// SPDX-License-Identifier: Apache-2.0

package extension

import (
	"cmp"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// Choose the plugins of a mesh that hold for a workload or gateway, in the order
// in which they stand among filters: by phase, then the highest priority first,
// then by name and namespace.
func Choose(m *model.Mesh, g policy.Guarded) []*model.WasmPlugin {
	var out []*model.WasmPlugin
	for _, p := range m.Plugins {
		if g.Under(m.Settings.Root(), p.Namespace, p.Target) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *model.WasmPlugin) int {
		return cmp.Or(cmp.Compare(rank(a.Phase), rank(b.Phase)), cmp.Compare(b.Priority, a.Priority),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
	})
	return out
}

// rank of a phase: one that is not told goes last.
func rank(p model.PluginPhase) int {
	if p == model.PhaseUnspecified {
		return int(model.PhaseStats) + 1
	}
	return int(p)
}
