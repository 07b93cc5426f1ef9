// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/proxywasm"
)

// TestIngressExtensions runs a plugin at a real gateway, on the port that its
// Service has, and on no other.
func TestIngressExtensions(t *testing.T) {
	f := newFront(t, []model.Listener{
		{Name: "http", Port: 80, Protocol: model.ListenHTTP, Hosts: []model.ListenerHost{{Host: "a.example"}}},
	}, []*model.Routing{toWeb("a.example")})
	c := f.client(nil)
	says := func(want int, header bool) {
		t.Helper()
		if status, body, _ := f.call(c, "http://a.example:8080/", "a.example"); status != want || strings.Contains(body, "header X-Plugin=at the edge") != header {
			t.Errorf("%d %s", status, body)
		}
	}
	says(200, false)
	code := proxywasm.Module{Header: "x-plugin", Value: "at the edge", Counter: "calls"}.Bytes()
	push := func(p model.WasmPlugin) {
		t.Helper()
		p.Origin = model.Origin{Kind: "WasmPlugin", Namespace: "edge", Name: "p"}
		f.mesh.Plugins = []*model.WasmPlugin{&p}
		f.push()
		// The former listener keeps connections that it has.
		c.CloseIdleConnections()
	}
	module := &model.WasmModule{SHA256: "1", Code: code}
	push(model.WasmPlugin{Module: module, Phase: model.PhaseAuthN, Match: []model.PluginMatch{{Mode: model.Client, Ports: []uint16{80}}}})
	says(200, true)
	push(model.WasmPlugin{Module: module, Match: []model.PluginMatch{{Ports: []uint16{443}}}})
	says(200, false)
	push(model.WasmPlugin{Module: module, Match: []model.PluginMatch{{Mode: model.Server}}})
	says(200, false)
	push(model.WasmPlugin{})
	says(503, false)
	push(model.WasmPlugin{Fail: model.FailOpen})
	says(200, false)
}
