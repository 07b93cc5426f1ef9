// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/accesslog"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// logSet names the Telemetries that hold for some proxies.
type logSet struct {
	names   string
	gateway bool
}

// logged is what the Telemetries of one set make of listeners.
type logged struct {
	of   []*model.Telemetry
	logs *accesslog.Logs

	mu            sync.Mutex
	made, earlier loggedParts
}

// loggedParts are results by what they were made of.
type loggedParts struct {
	resources map[*envoy.Resource]loggedResource
	layers    map[*envoy.Layer]*envoy.Layer
}

type loggedResource struct {
	now *envoy.Resource
	err error
}

// log what a proxy's Telemetries say.
func (s *Snapshot) log(p *model.Proxy, v *envoy.View) *envoy.View {
	if len(s.mesh.Telemetries) == 0 || len(v.Types) == 0 {
		return v
	}
	chosen := accesslog.Choose(s.mesh, pluggedInto(p))
	if len(chosen) == 0 {
		return v
	}
	key := logSet{names: telemetryNames(chosen), gateway: p.Type == model.Router}
	set := s.telemetries.class(key).get(func(earlier *logged) *logged {
		out := &logged{of: chosen, made: loggedParts{resources: map[*envoy.Resource]loggedResource{}, layers: map[*envoy.Layer]*envoy.Layer{}}}
		if earlier != nil && slices.Equal(earlier.of, chosen) {
			out.logs, out.earlier = earlier.logs, earlier.parts()
			return out
		}
		out.logs = accesslog.New(s.mesh.Settings, chosen, key.gateway)
		return out
	})
	out := &envoy.View{Types: maps.Clone(v.Types)}
	listeners := v.Types[envoy.ListenerType]
	out.Types[envoy.ListenerType] = envoy.Layers{Shared: set.layer(listeners.Shared), Own: set.layer(listeners.Own)}
	return out
}

func telemetryNames(all []*model.Telemetry) string {
	var b strings.Builder
	for _, t := range all {
		fmt.Fprintf(&b, "%s/%s ", t.Namespace, t.Name)
	}
	return b.String()
}

// parts that were made, or are still the earlier ones.
func (g *logged) parts() loggedParts {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.made.layers) == 0 {
		return g.earlier
	}
	return g.made
}

// layer of listeners that log so; itself when none is to.
func (g *logged) layer(l *envoy.Layer) *envoy.Layer {
	if l == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if now, ok := g.made.layers[l]; ok {
		return now
	}
	was, kept := g.earlier.layers[l]
	changed := false
	resources := make([]*envoy.Resource, 0, len(l.Resources()))
	for _, r := range l.Resources() {
		is, ok := g.made.resources[r]
		if !ok {
			is, ok = g.earlier.resources[r]
		}
		if !ok {
			if is.now, is.err = g.logs.Listener(r); is.err != nil {
				is.now = r // it serves, whatever it logs
			}
		}
		g.made.resources[r] = is
		changed = changed || is.now != r
		resources = append(resources, is.now)
	}
	now := l
	switch {
	case kept:
		now = was
	case changed:
		now, _ = envoy.NewLayer(resources)
	}
	g.made.layers[l] = now
	return now
}

// told are the problems of the Telemetries.
func (g *logged) told() []model.Problem {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []model.Problem
	for _, r := range g.made.resources {
		if r.err == nil {
			continue
		}
		for _, of := range g.of {
			out = append(out, of.Problem("spec.accessLogging", "NotTranslated", r.err.Error()))
		}
	}
	slices.SortFunc(out, func(a, b model.Problem) int {
		return strings.Compare(a.Namespace+"/"+a.Name+a.Message, b.Namespace+"/"+b.Name+b.Message)
	})
	return out
}
