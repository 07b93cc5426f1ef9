// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/extension"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// pluginSet names the plugins that hold for some proxies.
type pluginSet struct {
	names   string
	gateway bool
	// ports of a gateway, by portsKey.
	ports string
}

// plugged is what the plugins of one set add to listeners, and their configurations.
type plugged struct {
	of []*model.WasmPlugin
	at extension.Proxy
	// shape is what listeners know of the plugins: not how they are configured.
	shape    string
	configs  layer
	problems []model.Problem

	mu            sync.Mutex
	made, earlier pluggedParts
}

// pluggedParts are results by what they were made of.
type pluggedParts struct {
	resources map[*envoy.Resource]pluggedResource
	layers    map[*envoy.Layer]*envoy.Layer
}

type pluggedResource struct {
	now *envoy.Resource
	err error
}

// plug the plugins into a proxy's view.
func (s *Snapshot) plug(p *model.Proxy, v *envoy.View) *envoy.View {
	if len(s.mesh.Plugins) == 0 || len(v.Types) == 0 || p.EastWest() {
		return v
	}
	chosen := s.pluggedFor(p)
	if len(chosen) == 0 {
		return v
	}
	key, at := pluginSet{names: pluginNames(chosen)}, extension.Proxy{Settings: s.mesh.Settings}
	if p.Type == model.Router {
		at.Gateway = true
		if p.Workload != nil {
			at.Ports = p.Workload.Inbound
		}
		key.gateway, key.ports = true, portsKey(at.Ports)
	}
	set := s.plugins.class(key).get(func(earlier *plugged) *plugged { return newPlugged(chosen, at, earlier) })
	out := &envoy.View{Types: maps.Clone(v.Types)}
	listeners := v.Types[envoy.ListenerType]
	out.Types[envoy.ListenerType] = envoy.Layers{Shared: set.layer(listeners.Shared), Own: set.layer(listeners.Own)}
	out.Types[envoy.ExtensionType] = envoy.Layers{Shared: v.Types[envoy.ExtensionType].Shared, Own: set.configs.layer}
	return out
}

func pluggedInto(p *model.Proxy) policy.Guarded {
	out := policy.Guarded{Namespace: p.Namespace, Labels: p.Labels}
	if p.Workload != nil {
		out.Labels = p.Workload.Labels
	}
	if p.Type == model.Router {
		out.Gateway, out.Class = out.Labels[labelGatewayName], out.Labels[labelGatewayClass]
	}
	return out
}

func pluginNames(plugins []*model.WasmPlugin) string {
	var b strings.Builder
	for _, p := range plugins {
		fmt.Fprintf(&b, "%s/%s ", p.Namespace, p.Name)
	}
	return b.String()
}

// shapeOf plugins is all that listeners depend on.
func shapeOf(plugins []*model.WasmPlugin) string {
	var b strings.Builder
	for _, p := range plugins {
		fmt.Fprintf(&b, "%s/%s %d %v %v %d %v,", p.Namespace, p.Name, p.Phase, p.Network, extension.Closes(p), p.Fail, p.Match)
	}
	return b.String()
}

func newPlugged(chosen []*model.WasmPlugin, at extension.Proxy, earlier *plugged) *plugged {
	out := &plugged{of: chosen, at: at, shape: shapeOf(chosen), made: pluggedParts{
		resources: map[*envoy.Resource]pluggedResource{}, layers: map[*envoy.Layer]*envoy.Layer{},
	}}
	if earlier == nil {
		earlier = &plugged{}
	}
	if earlier.shape == out.shape {
		out.earlier = earlier.parts()
	}
	if slices.Equal(earlier.of, chosen) {
		out.configs, out.problems = earlier.configs, earlier.problems
		return out
	}
	var configs []*envoy.Resource
	for i, p := range chosen {
		if j := slices.Index(earlier.of, p); j >= 0 {
			if r := earlier.configs.layer.Get(extension.Name(p)); r != nil {
				configs = append(configs, r)
				continue
			}
		}
		r, err := extension.Resource(chosen[i])
		if err != nil {
			out.problems = append(out.problems, p.Problem("spec", "NotTranslated", err.Error()))
			continue
		}
		configs = append(configs, keep(earlier.configs.layer.Get(r.Name), r))
	}
	out.configs = earlier.configs.over(configs)
	return out
}

// parts that were made, or are still the earlier ones.
func (p *plugged) parts() pluggedParts {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.made.layers) == 0 {
		return p.earlier
	}
	return p.made
}

// layer of listeners with the plugins' filters; itself when none is for it.
func (p *plugged) layer(l *envoy.Layer) *envoy.Layer {
	if l == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now, ok := p.made.layers[l]; ok {
		return now
	}
	was, kept := p.earlier.layers[l]
	changed := false
	resources := make([]*envoy.Resource, 0, len(l.Resources()))
	for _, r := range l.Resources() {
		is, ok := p.made.resources[r]
		if !ok {
			is, ok = p.earlier.resources[r]
		}
		if !ok {
			if is.now, is.err = extension.Listener(p.at, p.of, r); is.err != nil {
				// A listener without a filter that may guard it is no listener.
				is.now = nil
			}
		}
		p.made.resources[r] = is
		changed = changed || is.now != r
		if is.now != nil {
			resources = append(resources, is.now)
		}
	}
	now := l
	switch {
	case kept:
		now = was
	case changed:
		now, _ = envoy.NewLayer(resources)
	}
	p.made.layers[l] = now
	return now
}

// told are the problems of the plugins.
func (p *plugged) told() []model.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.problems)
	for _, r := range p.made.resources {
		if r.err != nil {
			for _, of := range p.of {
				out = append(out, of.Problem("spec", "NotTranslated", r.err.Error()))
			}
		}
	}
	slices.SortFunc(out, func(a, b model.Problem) int {
		return strings.Compare(a.Namespace+"/"+a.Name+a.Message, b.Namespace+"/"+b.Name+b.Message)
	})
	return out
}

// pluginsOf a configuration that a proxy rejects.
func (s *Snapshot) pluginsOf(r model.Rejection) []culprit {
	for _, p := range s.mesh.Plugins {
		if extension.Named(r.Resource, p) {
			return []culprit{{p.Origin, "spec"}}
		}
	}
	return nil
}
