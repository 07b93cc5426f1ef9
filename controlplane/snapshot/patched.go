// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/patch"
)

// patchSet names the patches that hold for some proxies.
type patchSet struct {
	names  string
	router bool
}

// patched is what the patches of one set make of resources.
type patched struct {
	of  []*model.Patch
	set *patch.Set
	// bootstrap are the patches that the agent takes; nil without any.
	bootstrap *envoy.Layer

	// problems of the patches themselves.
	problems []model.Problem

	mu      sync.Mutex
	made    patchedParts
	earlier patchedParts
}

// patchedParts are results by what they were made of.
type patchedParts struct {
	resources map[*envoy.Resource]patchedResource
	layers    map[patchedLayer]*envoy.Layer
}

type patchedResource struct {
	now      *envoy.Resource
	problems []model.Problem
}

type patchedLayer struct {
	typeURL string
	layer   *envoy.Layer
	// beside is the layer that it must have no name in common with, for one to
	// which resources are added.
	beside *envoy.Layer
	adds   bool
}

func newParts() patchedParts {
	return patchedParts{resources: map[*envoy.Resource]patchedResource{}, layers: map[patchedLayer]*envoy.Layer{}}
}

// patch a proxy's view.
func (s *Snapshot) patch(p *model.Proxy, v *envoy.View) *envoy.View {
	if len(s.mesh.Patches) == 0 || len(v.Types) == 0 {
		return v
	}
	chosen := s.chosen(p)
	if len(chosen) == 0 {
		return v
	}
	set := s.patches.class(patchSet{patchNames(chosen), p.Type == model.Router}).get(func(earlier *patched) *patched {
		out := &patched{of: chosen, made: newParts()}
		if earlier != nil && slices.Equal(earlier.of, chosen) {
			out.set, out.bootstrap, out.problems, out.earlier = earlier.set, earlier.bootstrap, earlier.problems, earlier.parts()
			return out
		}
		out.set, out.problems = patch.NewSet(chosen, p.Type == model.Router)
		bootstraps, problems := out.set.Bootstraps()
		if out.problems = append(out.problems, problems...); len(bootstraps) > 0 {
			out.bootstrap, _ = envoy.NewLayer(bootstraps)
		}
		for _, typeURL := range []string{envoy.ClusterType, envoy.ListenerType} {
			_, problems := out.set.Added(typeURL)
			out.problems = append(out.problems, problems...)
		}
		return out
	})
	out := &envoy.View{Types: make(map[string]envoy.Layers, len(v.Types))}
	for typeURL, layers := range v.Types {
		switch typeURL {
		case envoy.ClusterType, envoy.ListenerType, envoy.RouteType:
			shared := set.layer(patchedLayer{typeURL: typeURL, layer: layers.Shared})
			layers = envoy.Layers{Shared: shared, Own: set.layer(patchedLayer{typeURL: typeURL, layer: layers.Own, beside: shared, adds: true})}
		}
		out.Types[typeURL] = layers
	}
	if set.bootstrap != nil {
		out.Types[envoy.BootstrapType] = envoy.Layers{Own: set.bootstrap}
	}
	return out
}

func patchedProxy(p *model.Proxy) patch.Proxy {
	out := patch.Proxy{Namespace: p.Namespace, Labels: p.Labels, Router: p.Type == model.Router, Version: p.Version, Metadata: p.Metadata}
	if p.Workload != nil {
		out.Labels = p.Workload.Labels
	}
	out.Gateway, out.Class = out.Labels["gateway.networking.k8s.io/gateway-name"], out.Labels["gateway.networking.k8s.io/gateway-class-name"]
	return out
}

// chosen patches for a proxy.
func (s *Snapshot) chosen(p *model.Proxy) []*model.Patch {
	return patch.Chosen(s.mesh, patchedProxy(p))
}

// patchNames tell them apart.
func patchNames(patches []*model.Patch) string {
	var b strings.Builder
	for _, p := range patches {
		fmt.Fprintf(&b, "%s %s/%s#%d ", p.Kind, p.Namespace, p.Name, p.Index)
	}
	return b.String()
}

// parts that were made, or are still the earlier ones.
func (p *patched) parts() patchedParts {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.made.layers) == 0 {
		return p.earlier
	}
	return p.made
}

// told are the problems of the patches, and of what they make of resources.
func (p *patched) told() []model.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.problems)
	for _, r := range p.made.resources {
		out = append(out, r.problems...)
	}
	slices.SortFunc(out, func(a, b model.Problem) int {
		return strings.Compare(a.Namespace+"/"+a.Name+a.Field+a.Message, b.Namespace+"/"+b.Name+b.Field+b.Message)
	})
	return out
}

// layer with the patches applied; itself when none is about it.
func (p *patched) layer(k patchedLayer) *envoy.Layer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.made.layers[k]; ok {
		return l
	}
	l, ok := p.earlier.layers[k]
	if !ok {
		l = p.makeLayer(k)
	} else {
		for _, r := range k.layer.Resources() {
			p.made.resources[r] = p.earlier.resources[r]
		}
	}
	p.made.layers[k] = l
	return l
}

func (p *patched) makeLayer(k patchedLayer) *envoy.Layer {
	var out []*envoy.Resource
	changed := false
	for _, r := range k.layer.Resources() {
		is, ok := p.made.resources[r]
		if !ok {
			is, ok = p.earlier.resources[r]
		}
		if !ok {
			is.now, is.problems = p.set.Resource(k.typeURL, r)
		}
		p.made.resources[r] = is
		changed = changed || is.now != r
		if is.now != nil {
			out = append(out, is.now)
		}
	}
	if k.adds {
		added, _ := p.set.Added(k.typeURL)
		for _, r := range added {
			if k.beside.Get(r.Name) == nil && k.layer.Get(r.Name) == nil {
				out, changed = append(out, r), true
			}
		}
	}
	if !changed {
		return k.layer
	}
	l, _ := envoy.NewLayer(out)
	return l
}
