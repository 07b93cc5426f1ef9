// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/extension"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/ratelimit"
)

// pluginSet names the plugins and the rate limits that hold for some proxies.
type pluginSet struct {
	names, limits string
	gateway       bool
	// ports of a gateway, by portsKey, or, where a limit is for a service's, of a workload.
	ports string
}

// plugged is what the plugins and the rate limits of one set add to listeners: filters
// that are discovered by name, and their configurations.
type plugged struct {
	of     []*model.WasmPlugin
	limits []*model.RateLimit
	at     extension.Proxy
	limit  ratelimit.Proxy
	// shape is what listeners know of them: not how they are configured.
	shape    string
	configs  layer
	problems []model.Problem

	listeners rewritten
}

// plug the plugins and the rate limits into a proxy's view.
func (s *Snapshot) plug(p *model.Proxy, v *envoy.View) *envoy.View {
	if len(s.mesh.Plugins)+len(s.mesh.RateLimits) == 0 || len(v.Types) == 0 || p.EastWest() {
		return v
	}
	chosen, limits := s.pluggedFor(p), s.limitsFor(p)
	if len(chosen)+len(limits) == 0 {
		return v
	}
	key, at := pluginSet{names: pluginNames(chosen), limits: limitNames(limits)}, extension.Proxy{Settings: s.mesh.Settings}
	limit := ratelimit.Proxy{Settings: s.mesh.Settings, Gateway: p.Type == model.Router}
	if !limit.Gateway && p.Workload != nil && slices.ContainsFunc(limits, ratelimit.OfService) {
		limit.Inbound = p.Workload.Inbound
		key.ports = servicePortsKey(limit.Inbound)
	}
	if p.Type == model.Router {
		at.Gateway = true
		if p.Workload != nil {
			at.Ports = p.Workload.Inbound
		}
		key.gateway, key.ports = true, portsKey(at.Ports)
	}
	set := s.plugins.class(key).get(func(earlier *plugged) *plugged {
		return newPlugged(&plugged{of: chosen, limits: limits, at: at, limit: limit}, earlier)
	})
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

// newPlugged completes a set with what is still good of the earlier one, which may be nil.
func newPlugged(out, earlier *plugged) *plugged {
	out.shape = shapeOf(out.of) + limitShape(out.limits)
	if earlier == nil {
		earlier = &plugged{}
	}
	if earlier.shape == out.shape {
		out.listeners.earlier = earlier.listeners.parts()
	}
	if slices.Equal(earlier.of, out.of) && slices.Equal(earlier.limits, out.limits) {
		out.configs, out.problems = earlier.configs, earlier.problems
		return out
	}
	var configs []*envoy.Resource
	add := func(of model.Origin, r *envoy.Resource, err error) {
		if err != nil {
			out.problems = append(out.problems, of.Problem("spec", "NotTranslated", err.Error()))
			return
		}
		configs = append(configs, keep(earlier.configs.layer.Get(r.Name), r))
	}
	for _, p := range out.of {
		if r := earlier.configs.layer.Get(extension.Name(p)); r != nil && slices.Contains(earlier.of, p) {
			configs = append(configs, r)
			continue
		}
		r, err := extension.Resource(p)
		add(p.Origin, r, err)
	}
	for _, l := range out.limits {
		r, err := ratelimit.Resource(out.limit.Settings, l)
		add(l.Origin, r, err)
	}
	out.configs = earlier.configs.over(configs)
	return out
}

// layer of listeners with the plugins' filters; itself when none is for it.
func (p *plugged) layer(l *envoy.Layer) *envoy.Layer { return p.listeners.layer(l, p.resource) }

// resource with the filters. A listener without one that may guard it is no listener.
func (p *plugged) resource(r *envoy.Resource) (*envoy.Resource, error) {
	limited, err := ratelimit.Listener(p.limit, p.limits, r)
	if err != nil {
		return nil, err
	}
	return extension.Listener(p.at, p.of, limited)
}

// told are the problems of the plugins and the rate limits.
func (p *plugged) told() []model.Problem {
	out := slices.Clone(p.problems)
	for _, err := range p.listeners.faults() {
		for _, of := range p.of {
			out = append(out, of.Problem("spec", "NotTranslated", err.Error()))
		}
		for _, of := range p.limits {
			out = append(out, of.Problem("spec", "NotTranslated", err.Error()))
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
