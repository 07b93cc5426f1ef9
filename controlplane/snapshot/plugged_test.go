// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

func pluginOn(labels map[string]string) *model.WasmPlugin {
	return &model.WasmPlugin{
		Origin: model.Origin{Kind: "WasmPlugin", Namespace: "shop", Name: "p"}, Target: model.Target{Selector: model.LabelsOf(labels)},
		Module: &model.WasmModule{SHA256: "x", Code: []byte("x")},
	}
}

const pluginsName = "extensions.istio.io/wasmplugin/shop.p"

func configOf(s *snapshot.Snapshot, w *model.Workload, name string) *envoy.Resource {
	return s.View(&model.Proxy{Type: model.Sidecar, Namespace: w.Namespace, Name: w.Name, Workload: w, Labels: w.Labels}).Get(envoy.ExtensionType, name)
}

// TestPluginsReachWhomTheyConcern, and no other. Another configuration changes no
// listener, and what is the same keeps its pointers.
func TestPluginsReachWhomTheyConcern(t *testing.T) {
	before := guardedMesh()
	first := snapshot.Build(before, nil)
	was := inboundOf(first, before)
	after := *before
	after.Plugins = []*model.WasmPlugin{pluginOn(map[string]string{"app": "a"})}
	second := snapshot.Build(&after, first)
	is := inboundOf(second, &after)
	if was["a"] == is["a"] || was["b"] != is["b"] || was["c"] != is["c"] {
		t.Errorf("before %v, after %v", was, is)
	}
	a, b := before.Workload("shop", "a"), before.Workload("shop", "b")
	config := configOf(second, a, pluginsName)
	if config == nil || configOf(second, b, pluginsName) != nil {
		t.Fatal("the configuration is not where it is wanted, or where it is not")
	}
	same := snapshot.Build(&after, second)
	if configOf(same, a, pluginsName) != config {
		t.Error("what says the same is another resource")
	}
	configured := after
	other := *after.Plugins[0]
	other.Configuration = "{}"
	configured.Plugins = []*model.WasmPlugin{&other}
	third := snapshot.Build(&configured, same)
	if configOf(third, a, pluginsName).Version == config.Version || inboundOf(third, &configured)["a"] != is["a"] {
		t.Error("another configuration is the same one, or makes another listener")
	}
	if back := inboundOf(snapshot.Build(before, third), before); back["a"] != was["a"] {
		t.Error("a plugin that is gone leaves something behind")
	}
}

// TestUnplugged: a proxy that can't run a plugin gets a stand-in under another
// name, and the others the plugin; until it changes, or the pod is gone.
func TestUnplugged(t *testing.T) {
	mesh := guardedMesh()
	mesh.Plugins = []*model.WasmPlugin{pluginOn(nil)}
	var aside *snapshot.Aside
	aside = aside.Next(mesh)
	s := snapshot.BuildWithout(mesh, aside, nil)
	a, b := mesh.Workload("shop", "a"), mesh.Workload("shop", "b")
	settled := func(string, string) (bool, bool) { return true, true }
	rejections := []model.Rejection{{
		Proxy: &model.Proxy{Namespace: "shop", Name: "a"}, TypeURL: envoy.ExtensionType, Resource: pluginsName, Reason: "Unable to create",
	}}
	if s.Refused(nil, settled) != aside {
		t.Error("nothing is refused, and another Aside comes of it")
	}
	aside = s.Refused(rejections, settled)
	s = snapshot.BuildWithout(mesh, aside.Next(mesh), s)
	standIn := configOf(s, a, pluginsName+":aside")
	if standIn == nil || configOf(s, a, pluginsName) != nil || configOf(s, b, pluginsName) == nil {
		t.Fatal("the stand-in is not where it is wanted")
	}
	if text, _ := standIn.JSON(); !strings.Contains(string(text), `"http_status":503`) {
		t.Errorf("%s", text)
	}
	if told := s.Blame(nil); len(told) != 1 || told[0].Kind != "WasmPlugin" || told[0].Name != "p" || !strings.Contains(told[0].Message, "pod shop/a can't run the module") {
		t.Errorf("%+v", told)
	}
	if again := s.Refused(rejections, settled); len(snapshot.BuildWithout(mesh, again, s).Blame(nil)) != 1 {
		t.Error("it is told twice")
	}
	changed := *mesh
	other := *mesh.Plugins[0]
	changed.Plugins = []*model.WasmPlugin{&other}
	s = snapshot.BuildWithout(&changed, aside.Next(&changed), s)
	if configOf(s, a, pluginsName) == nil || len(s.Blame(nil)) != 0 {
		t.Error("a plugin that changed isn't tried again")
	}
}
