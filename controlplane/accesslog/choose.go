// SPDX-License-Identifier: Apache-2.0

package accesslog

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// Choose the Telemetries of a mesh that say something of a workload's, or gateway's,
// access log and metrics, the widest first: the root namespace's, the namespace's, each the
// oldest that has no target, and then all of the namespace that have the proxy for a
// target, as in Istio.
func Choose(m *model.Mesh, g policy.Guarded) []*model.Telemetry {
	root := m.Settings.Root()
	whole := func(namespace string) *model.Telemetry {
		i := slices.IndexFunc(m.Telemetries, func(t *model.Telemetry) bool { return t.Namespace == namespace && !targeted(t) })
		if i < 0 {
			return nil
		}
		return m.Telemetries[i]
	}
	out := []*model.Telemetry{whole(root)}
	if g.Namespace != root {
		out = append(out, whole(g.Namespace))
	}
	for _, t := range m.Telemetries {
		// One for a GatewayClass is in the root namespace, which is no gateway's own.
		if targeted(t) && (t.Namespace == g.Namespace || len(t.Target.Refs) > 0) && g.Under(root, t.Namespace, t.Target) {
			out = append(out, t)
		}
	}
	return slices.DeleteFunc(out, func(t *model.Telemetry) bool { return t == nil || len(t.Logs)+len(t.Metrics) == 0 })
}

func targeted(t *model.Telemetry) bool { return t.Target.Selector != "" || len(t.Target.Refs) > 0 }

// log is a place that one side of calls is logged to.
type log struct {
	provider, filter string
}

// logsOf the side of calls that listeners are on, sorted by provider. Unless something
// is said of a provider that there is, the mesh's own logs stay. Each Telemetry that names providers replaces those of wider ones; one that
// names none is about those that hold.
func logsOf(s *model.Settings, chosen []*model.Telemetry, side model.PluginMode) (out []log, said bool) {
	about := func(r model.LogRule) bool { return r.Side == model.ClientAndServer || r.Side == side }
	holds, filters := s.Logs, map[string]string{}
	for _, t := range chosen {
		var names []string
		for _, r := range t.Logs {
			if !about(r) {
				continue
			}
			for _, name := range r.Providers {
				names = append(names, name)
				filters[name] = r.Filter
			}
		}
		if len(names) > 0 {
			holds = names
		}
	}
	on := map[string]bool{}
	wider := s.Logs
	for _, t := range chosen {
		for _, r := range t.Logs {
			names := r.Providers
			if len(names) == 0 {
				names = wider
			}
			wider = names
			for _, name := range names {
				if slices.Contains(holds, name) && about(r) && envoy.LogProvider(s, name) != nil {
					on[name] = !r.Disabled
					said = true
				}
			}
		}
	}
	for name, logs := range on {
		if logs {
			out = append(out, log{name, filters[name]})
		}
	}
	slices.SortFunc(out, func(a, b log) int { return strings.Compare(a.provider, b.provider) })
	return out, said
}
