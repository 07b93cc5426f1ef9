// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// TestBootstrapPatchesReachWhomTheyConcern: they change nothing else, and what an
// agent refuses of them is the filter's.
func TestBootstrapPatchesReachWhomTheyConcern(t *testing.T) {
	mesh := *guardedMesh()
	mesh.Patches = []*model.Patch{{
		Origin: model.Origin{Kind: "EnvoyFilter", Namespace: "shop", Name: "f"}, Index: 2, Target: model.Target{Selector: "app=a"},
		ApplyTo: "BOOTSTRAP", Context: "ANY", Operation: "MERGE", Value: []byte(`{"stats_flush_interval":"1s"}`),
	}}
	plain := snapshot.Build(guardedMesh(), nil)
	s := snapshot.Build(&mesh, nil)
	const name = "00000/MERGE/shop/f/2"
	proxy := func(name string) *model.Proxy {
		w := mesh.Workload("shop", name)
		return &model.Proxy{Type: model.Sidecar, Namespace: w.Namespace, Name: w.Name, Workload: w, Labels: w.Labels}
	}
	a, b := proxy("a"), proxy("b")
	if s.View(a).Get(envoy.BootstrapType, name) == nil {
		t.Error("the patch is not where it is wanted")
	}
	if got := s.View(b).Types[envoy.BootstrapType].Own.Resources(); len(got) != 0 {
		t.Errorf("a patch is where it is not wanted: %v", got)
	}
	for _, typeURL := range []string{envoy.ClusterType, envoy.ListenerType} {
		is, was := s.View(a).Types[typeURL], plain.View(a).Types[typeURL]
		if len(is.Own.Resources()) != len(was.Own.Resources()) || len(is.Shared.Resources()) != len(was.Shared.Resources()) {
			t.Errorf("%s differs", typeURL)
		}
	}
	again := snapshot.Build(&mesh, s)
	if again.View(a).Get(envoy.BootstrapType, name) != s.View(a).Get(envoy.BootstrapType, name) {
		t.Error("what says the same is another resource")
	}
	told := s.Blame([]model.Rejection{{Proxy: a, TypeURL: envoy.BootstrapType, Resource: name, Reason: "no"}})
	if len(told) != 1 || told[0].Kind != "EnvoyFilter" || told[0].Name != "f" || told[0].Field != "spec.configPatches[2].patch.value" || !strings.Contains(told[0].Message, "pod shop/a started without this patch: no;") {
		t.Errorf("blame: %v", told)
	}
}
