// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// TestTelemetriesReachWhomTheyConcern: only listeners of whom they select change, what
// proxies have in common stays in common, and unchanged ones keep their layers.
func TestTelemetriesReachWhomTheyConcern(t *testing.T) {
	before := guardedMesh()
	settings := *before.Settings
	settings.LogProviders = []model.LogProvider{{Name: "envoy", Path: "/dev/stdout"}}
	before.Settings = &settings
	telemetry := func(selector map[string]string) *model.Telemetry {
		return &model.Telemetry{
			Origin: model.Origin{Kind: "Telemetry", Namespace: "shop", Name: "t"}, Target: model.Target{Selector: model.LabelsOf(selector)},
			Logs: []model.LogRule{{Providers: []string{"envoy"}}},
		}
	}
	first := snapshot.Build(before, nil)
	was := inboundOf(first, before)
	one := *before
	one.Telemetries = []*model.Telemetry{telemetry(map[string]string{"app": "a"})}
	second := snapshot.Build(&one, first)
	is := inboundOf(second, &one)
	if was["a"] == is["a"] || was["b"] != is["b"] || was["c"] != is["c"] {
		t.Errorf("before %v, after %v", was, is)
	}
	if again := inboundOf(snapshot.Build(&one, second), &one); again["a"] != is["a"] {
		t.Error("the same Telemetry makes another listener")
	}
	all := one
	all.Telemetries = []*model.Telemetry{telemetry(nil)}
	third := snapshot.Build(&all, second)
	layer := func(s *snapshot.Snapshot, name string) *envoy.Layer {
		w := all.Workload("shop", name)
		return s.View(&model.Proxy{Type: model.Sidecar, Namespace: "shop", Name: name, Workload: w, Labels: w.Labels}).Types[envoy.ListenerType].Shared
	}
	if layer(third, "a") != layer(third, "b") {
		t.Error("two proxies of one Telemetry have not the same layer")
	}
	if moved := all; layer(snapshot.Build(&moved, third), "a") != layer(third, "a") {
		t.Error("the next mesh, in which nothing is different, has another layer")
	}
	if back := inboundOf(snapshot.Build(before, third), before); back["a"] != was["a"] {
		t.Error("a Telemetry that is gone leaves something behind")
	}
}
