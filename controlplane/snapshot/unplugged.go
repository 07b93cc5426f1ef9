// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"maps"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/extension"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// unplugged are the plugins that pods' proxies can't run: a module that is none,
// or one that refuses its configuration. Envoy would refuse every later change of
// the listeners that have them, so such a proxy gets a stand-in under another
// name, which does what the failStrategy says; until the plugin changes.
type unplugged map[objectName]map[*model.WasmPlugin]pluginStandIn

// pluginStandIn for a plugin.
type pluginStandIn struct {
	plugin  *model.WasmPlugin
	problem model.Problem
}

// next is what still holds with the plugins and pods of another mesh.
func (u unplugged) next(mesh *model.Mesh) unplugged {
	if len(u) == 0 {
		return u
	}
	out, same := unplugged{}, true
	for pod, of := range u {
		kept := maps.Clone(of)
		maps.DeleteFunc(kept, func(p *model.WasmPlugin, _ pluginStandIn) bool { return !slices.Contains(mesh.Plugins, p) })
		same = same && len(kept) == len(of)
		if len(kept) > 0 && mesh.Workload(pod.namespace, pod.name) != nil {
			out[pod] = kept
		} else {
			same = false
		}
	}
	if same {
		return u
	}
	return out
}

// unplug what proxies refuse; false when that is nothing new.
func (s *Snapshot) unplug(rejections []model.Rejection) (unplugged, bool) {
	was := s.aside.unplugged
	out := was
	for _, r := range rejections {
		if r.TypeURL != envoy.ExtensionType {
			continue
		}
		i := slices.IndexFunc(s.mesh.Plugins, func(p *model.WasmPlugin) bool { return extension.Named(r.Resource, p) })
		pod := objectName{r.Proxy.Namespace, r.Proxy.Name}
		if i < 0 {
			continue
		}
		plugin := s.mesh.Plugins[i]
		if _, known := out[pod][plugin]; known {
			continue
		}
		copied := *plugin
		copied.Name, copied.Invalid = plugin.Name+":aside", oneLine(r.Reason)
		now := maps.Clone(out[pod])
		if now == nil {
			now = map[*model.WasmPlugin]pluginStandIn{}
		}
		now[plugin] = pluginStandIn{&copied, plugin.Problem("spec", model.RejectedByProxy, fmt.Sprintf(
			"pod %s/%s can't run the module, so there %s: %s; see the proxy's log, and mend the module or its configuration",
			r.Proxy.Namespace, r.Proxy.Name, extension.Effect(plugin), oneLine(r.Reason)))}
		if out = maps.Clone(out); out == nil {
			out = unplugged{}
		}
		out[pod] = now
	}
	return out, len(out) > 0 && !sameMap(was, out)
}

func sameMap(a, b unplugged) bool {
	return maps.EqualFunc(a, b, func(x, y map[*model.WasmPlugin]pluginStandIn) bool {
		return maps.EqualFunc(x, y, func(v, w pluginStandIn) bool { return v.plugin == w.plugin })
	})
}

// pluggedFor a proxy: the plugins, and stand-ins for those that it can't run.
func (s *Snapshot) pluggedFor(p *model.Proxy) []*model.WasmPlugin {
	chosen := extension.Choose(s.mesh, pluggedInto(p))
	if s.aside == nil {
		return chosen
	}
	refused := s.aside.unplugged[objectName{p.Namespace, p.Name}]
	for i, plugin := range chosen {
		if r, ok := refused[plugin]; ok {
			chosen[i] = r.plugin
		}
	}
	return chosen
}

// problems, of many pods the first one's; sorted by Blame.
func (u unplugged) problems() []model.Problem {
	told := map[*model.WasmPlugin]bool{}
	var out []model.Problem
	for _, pod := range slices.SortedFunc(maps.Keys(u), func(x, y objectName) int { return compare(x.namespace, y.namespace, x.name, y.name) }) {
		for plugin, r := range u[pod] {
			if !told[plugin] {
				told[plugin] = true
				out = append(out, r.problem)
			}
		}
	}
	return out
}
