// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same draws in every run
	"github.com/isthmesh/isthmesh/test/pipeline/scenario"
)

// histories of a mesh: each is the one before it with one edit.
var histories = rapid.Custom(func(t *rapid.T) []*model.Mesh {
	out := []*model.Mesh{scenario.Configured().Draw(t, "mesh")}
	for range rapid.IntRange(1, 5).Draw(t, "edits") {
		out = append(out, edit(t, out[len(out)-1]))
	}
	return out
})

// TestIncrementalIsFresh: whatever is changed, a snapshot that grew out of
// others shows each proxy what one from nothing does, and reports the same. Every
// third is asked by nobody.
func TestIncrementalIsFresh(t *testing.T) {
	for seed := range 80 {
		var s *snapshot.Snapshot
		for i, m := range histories.Example(seed) {
			s = snapshot.Build(m, s)
			if (seed+i)%3 == 2 {
				continue
			}
			fresh := snapshot.Build(m, nil)
			if d := cmp.Diff(look(fresh, m), look(s, m)); d != "" {
				t.Fatalf("seed %d, edit %d, -fresh +grown:\n%s", seed, i, d)
			}
			if d := cmp.Diff(problems(fresh), problems(s)); d != "" {
				t.Fatalf("seed %d, edit %d, problems, -fresh +grown:\n%s", seed, i, d)
			}
		}
	}
}

// look at what everybody sees, by resource.
func look(s *snapshot.Snapshot, m *model.Mesh) map[string]string {
	out := map[string]string{}
	add := func(who string, p *model.Proxy) {
		v := s.View(p)
		for typeURL, layers := range v.Types {
			for _, r := range slices.Concat(layers.Shared.Resources(), layers.Own.Resources()) {
				key := who + " " + typeURL[len("type.googleapis.com/"):] + " " + r.Name
				if _, twice := out[key]; twice {
					out[key] += " and again"
				}
				out[key] += r.Version
			}
		}
	}
	for _, namespace := range []string{"shop", "bank", "default"} {
		for _, l := range []map[string]string{nil, {"version": "v1", "app": "a"}, {"version": "v2"}} {
			for _, region := range []string{"", "eu"}[:2-min(len(l), 1)] {
				add(namespace+string(model.LabelsOf(l))+region, &model.Proxy{Type: model.Sidecar, Namespace: namespace, Name: "p", Labels: l, Locality: model.Locality{Region: region}})
			}
		}
	}
	for _, w := range m.Workloads {
		add(w.Namespace+"/"+w.Name, &model.Proxy{Type: model.Sidecar, Namespace: w.Namespace, Name: w.Name, Workload: w})
	}
	add("gateway", &model.Proxy{Type: model.Router, Labels: map[string]string{"istio": "eastwestgateway"}})
	return out
}

func problems(s *snapshot.Snapshot) map[model.Problem]bool {
	out := map[model.Problem]bool{}
	for _, p := range s.Problems() {
		out[p] = true
	}
	return out
}

// edit a mesh; what doesn't change keeps its pointer.
func edit(t *rapid.T, m *model.Mesh) *model.Mesh {
	out := *m
	some := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "which") }
	kind := rapid.SampledFrom([]string{"endpoints", "service", "without service", "policy", "without policy", "routing", "without routing", "scope", "without scope", "patch", "without patch"}).Draw(t, "edit")
	age := rapid.IntRange(100, 1000).Draw(t, "name")
	switch kind {
	case "endpoints":
		if len(m.Services) == 0 {
			return m
		}
		i := some(len(m.Services))
		out.Services = slices.Clone(m.Services)
		st := m.Services[i]
		st.Endpoints = slices.Clone(st.Endpoints)
		for j, set := range st.Endpoints {
			if n := len(set.Endpoints); n > 0 && rapid.Bool().Draw(t, "port") {
				st.Endpoints[j] = &model.EndpointSet{Endpoints: set.Endpoints[:n-1]}
			}
		}
		out.Services[i] = st
	case "service":
		if len(m.Services) == 0 {
			return m
		}
		i := some(len(m.Services))
		out.Services = slices.Clone(m.Services)
		svc := *m.Services[i].Service
		svc.PreferClose = !svc.PreferClose
		svc.Visible = model.Visibility{Limited: rapid.Bool().Draw(t, "limited"), Namespaces: []string{"shop"}}
		out.Services[i].Service = &svc
	case "without service":
		if len(m.Services) == 0 {
			return m
		}
		i := some(len(m.Services))
		out.Services = slices.Delete(slices.Clone(m.Services), i, i+1)
	case "policy":
		out.Policies = append(slices.Clone(m.Policies), scenario.RandomPolicy(t, m, age))
	case "without policy":
		if n := len(m.Policies); n > 0 {
			i := some(n)
			out.Policies = slices.Delete(slices.Clone(m.Policies), i, i+1)
		}
	case "routing":
		out.Routings = append(slices.Clone(m.Routings), scenario.RandomRouting(t, m, age))
	case "without routing":
		if n := len(m.Routings); n > 0 {
			i := some(n)
			out.Routings = slices.Delete(slices.Clone(m.Routings), i, i+1)
		}
	case "scope":
		out.Scopes = append(slices.Clone(m.Scopes), scenario.RandomScope(t, m, age))
	case "patch":
		out.Patches = append(slices.Clone(m.Patches), scenario.RandomPatch(t, age))
	case "without patch":
		if n := len(m.Patches); n > 0 {
			i := some(n)
			out.Patches = slices.Delete(slices.Clone(m.Patches), i, i+1)
		}
	case "without scope":
		if n := len(m.Scopes); n > 0 {
			i := some(n)
			out.Scopes = slices.Delete(slices.Clone(m.Scopes), i, i+1)
		}
	}
	scenario.SortConfiguration(&out)
	return &out
}
