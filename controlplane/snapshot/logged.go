// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

	listeners rewritten
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
		out := &logged{of: chosen}
		if earlier != nil && slices.Equal(earlier.of, chosen) {
			out.logs, out.listeners.earlier = earlier.logs, earlier.listeners.parts()
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

// telemetries say what listeners log.
func (m *madeOf) telemetries() {
	for _, t := range accesslog.Choose(m.s.mesh, pluggedInto(m.p)) {
		m.add(t.Origin)
	}
}

func telemetryNames(all []*model.Telemetry) string {
	var b strings.Builder
	for _, t := range all {
		fmt.Fprintf(&b, "%s/%s ", t.Namespace, t.Name)
	}
	return b.String()
}

// layer of listeners that log so; itself when none is to.
func (g *logged) layer(l *envoy.Layer) *envoy.Layer { return g.listeners.layer(l, g.resource) }

// resource that logs so. A listener serves, whatever it logs.
func (g *logged) resource(r *envoy.Resource) (*envoy.Resource, error) {
	now, err := g.logs.Listener(r)
	if err != nil {
		return r, err
	}
	return now, nil
}

// told are the problems of the Telemetries.
func (g *logged) told() []model.Problem {
	var out []model.Problem
	for _, err := range g.listeners.faults() {
		for _, of := range g.of {
			out = append(out, of.Problem("spec", "NotTranslated", err.Error()))
		}
	}
	slices.SortFunc(out, func(a, b model.Problem) int {
		return strings.Compare(a.Namespace+"/"+a.Name+a.Message, b.Namespace+"/"+b.Name+b.Message)
	})
	return out
}
