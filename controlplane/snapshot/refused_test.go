// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// stamped is a filter that adds its text to a list of the inbound listener, which
// shows in which order filters were there.
func stamped(name, text string, age int64) *model.Patch {
	return &model.Patch{
		Origin:  model.Origin{Kind: "EnvoyFilter", Namespace: "shop", Name: name, CreatedUnix: age},
		ApplyTo: "LISTENER", Context: "SIDECAR_INBOUND", Operation: "MERGE", Match: []byte(`{}`), Value: fmt.Appendf(nil, `{"accessLog":[{"name":%q}]}`, text),
	}
}

// TestRefused: a proxy that refuses every listener with the word "bad" in it
// ends up with all filters but the bad ones, whoever they are and however many,
// and another proxy keeps them all.
func TestRefused(t *testing.T) {
	tests := map[string]struct {
		before, filters []string
		want            string // in force at the proxy that refuses
		told            string // the objects with a Problem
	}{
		"One":            {filters: []string{"a:bad"}, told: "a"},
		"Youngest":       {filters: []string{"a:good", "b:bad"}, want: "good", told: "b"},
		"Oldest":         {filters: []string{"a:bad", "b:good", "c:fine"}, want: "good fine", told: "a"},
		"Two":            {filters: []string{"a:bad", "b:good", "c:bad2", "d:fine"}, want: "good fine", told: "a c"},
		"All":            {filters: []string{"a:bad", "b:bad2"}, told: "a b"},
		"Changed":        {before: []string{"a:good", "b:fine"}, filters: []string{"a:bad", "b:fine"}, want: "good fine", told: "a"},
		"ChangedOfMany":  {before: []string{"a:good", "b:fine"}, filters: []string{"a:bad", "b:fine", "c:new"}, want: "good fine new", told: "a"},
		"StillBad":       {before: []string{"a:bad", "b:fine"}, filters: []string{"a:bad2", "b:fine"}, want: "fine", told: "a"},
		"Mended":         {before: []string{"a:bad", "b:fine"}, filters: []string{"a:good", "b:fine"}, want: "good fine"},
		"Removed":        {before: []string{"a:bad", "b:fine"}, filters: []string{"b:fine"}, want: "fine"},
		"NothingIsWrong": {filters: []string{"a:good"}, want: "good"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := &refusing{T: t, mesh: guardedMesh()}
			if test.before != nil {
				w.settle(test.before)
			}
			w.settle(test.filters)
			if d := cmp.Diff(test.want, w.has("a")); d != "" {
				t.Errorf("the proxy that refuses -want +got:\n%s", d)
			}
			var all []string
			for _, f := range test.filters {
				_, text, _ := strings.Cut(f, ":")
				all = append(all, text)
			}
			if d := cmp.Diff(strings.Join(all, " "), w.has("b")); d != "" {
				t.Errorf("another proxy -want +got:\n%s", d)
			}
			var told []string
			for _, p := range w.shown.Blame(nil) {
				told = append(told, p.Name)
			}
			if d := cmp.Diff(test.told, strings.Join(told, " ")); d != "" {
				t.Errorf("told of -want +got:\n%s", d)
			}
		})
	}
}

// TestRefusedByNobodyThere: what was not settled when the proxy went is
// forgotten, so that nothing waits for it; and so is all of a pod that is gone.
func TestRefusedByNobodyThere(t *testing.T) {
	w := &refusing{T: t, mesh: guardedMesh()}
	w.build([]string{"a:bad", "b:good"})
	w.aside = w.shown.Refused(w.rejections(), w.settled)
	w.build([]string{"a:bad", "b:good"})
	if len(w.aside.Searched()) == 0 {
		t.Fatal("two filters made it, and it is settled at once")
	}
	w.aside = w.shown.Refused(nil, func(string, string) (bool, bool) { return false, false })
	if len(w.aside.Searched()) > 0 {
		t.Error("it waits for a proxy that is gone")
	}
	w.settle([]string{"a:bad"})
	w.mesh.Workloads = slices.DeleteFunc(w.mesh.Workloads, func(x *model.Workload) bool { return x.Name == "a" })
	w.build([]string{"a:bad"})
	if told := w.shown.Blame(nil); len(told) > 0 {
		t.Errorf("of a pod that is gone it says %v", told)
	}
}

// refusing is a mesh with a proxy that refuses what is bad, in pod a.
type refusing struct {
	*testing.T
	mesh  *model.Mesh
	aside *snapshot.Aside
	shown *snapshot.Snapshot
}

func (w *refusing) build(filters []string) {
	m := *w.mesh
	old := map[string]*model.Patch{}
	for _, p := range w.mesh.Patches {
		old[p.Name+string(p.Value)] = p
	}
	m.Patches = nil
	for i, f := range filters {
		name, text, _ := strings.Cut(f, ":")
		p := stamped(name, text, int64(i))
		if same := old[p.Name+string(p.Value)]; same != nil {
			p = same // as ingest keeps what didn't change
		}
		m.Patches = append(m.Patches, p)
	}
	w.mesh = &m
	w.aside = w.aside.Next(w.mesh)
	w.shown = snapshot.BuildWithout(w.mesh, w.aside, w.shown)
}

// settle does what the pipeline does until nothing changes any more.
func (w *refusing) settle(filters []string) {
	w.Helper()
	w.build(filters)
	for range 50 {
		next := w.shown.Refused(w.rejections(), w.settled)
		if next == w.aside && len(w.aside.Searched()) == 0 {
			return
		}
		w.aside = next
		w.build(filters)
	}
	w.Fatal("it never settles")
}

func (w *refusing) settled(_, name string) (done, connected bool) {
	return name != "a" || len(w.rejections()) == 0, true
}

func (w *refusing) rejections() []model.Rejection {
	if !strings.Contains(w.has("a"), "bad") {
		return nil
	}
	return []model.Rejection{{Proxy: w.proxy("a"), TypeURL: envoy.ListenerType, Resource: "virtualInbound", Reason: "it is bad"}}
}

func (w *refusing) proxy(name string) *model.Proxy {
	pod := w.mesh.Workload("shop", name)
	return &model.Proxy{Type: model.Sidecar, Namespace: "shop", Name: name, Workload: pod}
}

// has are the texts that filters left on the listener of a pod.
func (w *refusing) has(pod string) string {
	r := w.shown.View(w.proxy(pod)).Get(envoy.ListenerType, "virtualInbound")
	text, err := r.JSON()
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, word := range []string{"good", "bad", "bad2", "fine", "new"} {
		if i := strings.Index(string(text), fmt.Sprintf("%q", word)); i >= 0 {
			out = append(out, fmt.Sprintf("%06d %s", i, word))
		}
	}
	slices.Sort(out)
	for i := range out {
		out[i] = out[i][7:]
	}
	return strings.Join(out, " ")
}
