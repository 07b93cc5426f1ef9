// SPDX-License-Identifier: Apache-2.0

package extension_test

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/extension"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

var module = &model.WasmModule{SHA256: "x", Code: []byte("code")}

func plugin(name string, change func(*model.WasmPlugin)) *model.WasmPlugin {
	p := &model.WasmPlugin{Origin: model.Origin{Kind: "WasmPlugin", Namespace: "shop", Name: name}, Module: module}
	if change != nil {
		change(p)
	}
	return p
}

func inPhase(name string, phase model.PluginPhase, priority int32) *model.WasmPlugin {
	return plugin(name, func(p *model.WasmPlugin) { p.Phase, p.Priority = phase, priority })
}

// chosen of plugins, in their order.
func chosen(plugins ...*model.WasmPlugin) []*model.WasmPlugin {
	return extension.Choose(&model.Mesh{Plugins: plugins}, policy.Guarded{Namespace: "shop"})
}

// short names of filters.
func short(name string) string {
	name = strings.TrimPrefix(name, "extensions.istio.io/wasmplugin/shop.")
	return name[strings.LastIndex(name, ".")+1:]
}

// listener with one chain for each port; of HTTP with these filters before the router.
func listener(t *testing.T, direction corev3.TrafficDirection, name string, port uint16, http ...string) *envoy.Resource {
	t.Helper()
	m := envoy.HTTPManager(&model.Settings{}, "x")
	var filters []*hcmv3.HttpFilter
	for _, f := range http {
		filters = append(filters, &hcmv3.HttpFilter{Name: f})
	}
	m.HttpFilters = append(filters, m.HttpFilters...)
	l := &listenerv3.Listener{Name: name, TrafficDirection: direction, Address: envoy.Address("0.0.0.0", port), FilterChains: []*listenerv3.FilterChain{
		{Name: "http", FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(8080)}, Filters: []*listenerv3.Filter{
			{Name: "envoy.filters.network.rbac"}, envoy.HTTPManagerFilter(m),
		}},
		{Name: name + "-blackhole", Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(envoy.TCPProxy(&model.Settings{}, "closed"))}},
	}}
	r, err := envoy.NewResource(name, l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// filters of the first chain: those of connections, then those of requests.
func filters(t *testing.T, r *envoy.Resource) (network, http string) {
	t.Helper()
	m, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	l := m.(*listenerv3.Listener) //nolint:forcetypeassert // made above
	var of [2][]string
	for _, f := range l.GetFilterChains()[0].GetFilters() {
		of[0] = append(of[0], short(f.GetName()))
		if f.GetName() == envoy.HTTPFilter {
			h := &hcmv3.HttpConnectionManager{}
			if err := f.GetTypedConfig().UnmarshalTo(h); err != nil {
				t.Fatal(err)
			}
			for _, g := range h.GetHttpFilters() {
				of[1] = append(of[1], short(g.GetName()))
			}
		}
	}
	if n := len(l.GetFilterChains()[1].GetFilters()); n != 1 {
		t.Errorf("the chain that only closes has %d filters", n)
	}
	return strings.Join(of[0], " "), strings.Join(of[1], " ")
}

const (
	jwt   = "envoy.filters.http.jwt_authn"
	rbac  = "envoy.filters.http.rbac"
	ext   = "envoy.filters.http.ext_authz"
	cors  = "envoy.filters.http.cors"
	fault = "envoy.filters.http.fault"
)

// TestPlaces: plugins stand by phase, priority and name among the mesh's filters.
func TestPlaces(t *testing.T) {
	all := chosen(
		inPhase("u", model.PhaseUnspecified, 9), inPhase("s", model.PhaseStats, 0), inPhase("z", model.PhaseAuthZ, 0),
		inPhase("n-low", model.PhaseAuthN, -1), inPhase("n-b", model.PhaseAuthN, 5), inPhase("n-a", model.PhaseAuthN, 5),
	)
	for name, test := range map[string]struct {
		has  []string
		want string
	}{
		"All":       {[]string{jwt, rbac, ext, rbac, cors, fault}, "n-a n-b n-low jwt_authn z rbac ext_authz rbac s u cors fault router"},
		"OnlyWho":   {[]string{jwt, cors}, "n-a n-b n-low jwt_authn z s u cors router"},
		"OnlyMay":   {[]string{rbac, cors}, "n-a n-b n-low z rbac s u cors router"},
		"NobodyAsk": {[]string{cors, fault}, "n-a n-b n-low z s u cors fault router"},
		"Nothing":   {nil, "n-a n-b n-low z s u router"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := extension.Listener(extension.Proxy{}, all, listener(t, corev3.TrafficDirection_INBOUND, envoy.VirtualInbound, 15006, test.has...))
			if err != nil {
				t.Fatal(err)
			}
			if _, got := filters(t, r); got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

// TestNetwork: plugins of connections stand around what asks whether they may; one
// that isn't there and fails closed leaves nothing of the chain.
func TestNetwork(t *testing.T) {
	network := func(name string, phase model.PluginPhase) *model.WasmPlugin {
		return plugin(name, func(p *model.WasmPlugin) { p.Phase, p.Network = phase, true })
	}
	for name, test := range map[string]struct {
		plugins []*model.WasmPlugin
		want    string
	}{
		"Phases": {chosen(network("s", model.PhaseStats), network("n", model.PhaseAuthN), network("z", model.PhaseAuthZ)), "n:network z:network rbac s:network http_connection_manager"},
		"Closed": {chosen(plugin("c", func(p *model.WasmPlugin) { p.Network, p.Module = true, nil })), "tcp_proxy"},
		"Open":   {chosen(plugin("o", func(p *model.WasmPlugin) { p.Network, p.Module, p.Fail = true, nil, model.FailOpen })), "rbac o:network http_connection_manager"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := extension.Listener(extension.Proxy{Settings: &model.Settings{}}, test.plugins, listener(t, corev3.TrafficDirection_INBOUND, envoy.VirtualInbound, 15006))
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := filters(t, r); got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

// TestMatch: each side of a call, the ports of both, and a gateway, which is a
// client on the ports of its services, and of its pod.
func TestMatch(t *testing.T) {
	gateway := extension.Proxy{Gateway: true, Ports: []model.InboundPort{{Port: 8443, ServicePort: 443}}}
	for name, test := range map[string]struct {
		match []model.PluginMatch
		// on the server's port 8080, a client's 80, a gateway's 8443.
		want [3]bool
	}{
		"None":        {nil, [3]bool{true, true, true}},
		"Server":      {[]model.PluginMatch{{Mode: model.Server}}, [3]bool{true, false, false}},
		"Client":      {[]model.PluginMatch{{Mode: model.Client}}, [3]bool{false, true, true}},
		"Port":        {[]model.PluginMatch{{Ports: []uint16{8080}}}, [3]bool{true, false, false}},
		"ClientPort":  {[]model.PluginMatch{{Mode: model.Client, Ports: []uint16{80}}}, [3]bool{false, true, false}},
		"ServicePort": {[]model.PluginMatch{{Ports: []uint16{443}}}, [3]bool{false, false, true}},
		"PodPort":     {[]model.PluginMatch{{Ports: []uint16{8443}}}, [3]bool{false, false, true}},
		"Either":      {[]model.PluginMatch{{Mode: model.Server, Ports: []uint16{8080}}, {Mode: model.Client, Ports: []uint16{443}}}, [3]bool{true, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			of := chosen(plugin("p", func(p *model.WasmPlugin) { p.Match = test.match }))
			var got [3]bool
			for i, on := range []struct {
				at extension.Proxy
				r  *envoy.Resource
			}{
				{extension.Proxy{}, listener(t, corev3.TrafficDirection_INBOUND, envoy.VirtualInbound, 15006)},
				{extension.Proxy{}, listener(t, corev3.TrafficDirection_OUTBOUND, "0.0.0.0_80", 80)},
				{gateway, listener(t, corev3.TrafficDirection_OUTBOUND, "0.0.0.0_8443", 8443)},
			} {
				now, err := extension.Listener(on.at, of, on.r)
				if err != nil {
					t.Fatal(err)
				}
				_, http := filters(t, now)
				got[i] = strings.HasPrefix(http, "p ")
				if got[i] == (now == on.r) {
					t.Error("a listener that no plugin is for is another one, or the other way about")
				}
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestTargets: the root namespace's are everybody's; references are gateways'.
func TestTargets(t *testing.T) {
	in := func(namespace, selector string, refs ...model.TargetRef) *model.WasmPlugin {
		return plugin("p", func(p *model.WasmPlugin) {
			p.Namespace, p.Target = namespace, model.Target{Selector: model.Labels(selector), Refs: refs}
		})
	}
	gateway := model.TargetRef{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: "g"}
	web := policy.Guarded{Namespace: "shop", Labels: map[string]string{"app": "web"}}
	edge := policy.Guarded{Namespace: "shop", Gateway: "g", Class: "istio"}
	for name, test := range map[string]struct {
		plugin *model.WasmPlugin
		at     policy.Guarded
		want   bool
	}{
		"Namespace":      {in("shop", ""), web, true},
		"OtherNamespace": {in("other", ""), web, false},
		"Root":           {in("root", ""), web, true},
		"Selected":       {in("shop", "app=web"), web, true},
		"RootSelected":   {in("root", "app=web"), web, true},
		"NotSelected":    {in("shop", "app=other"), web, false},
		"Gateway":        {in("shop", "", gateway), edge, true},
		"NotGateway":     {in("shop", "", gateway), web, false},
		"Class":          {in("root", "", model.TargetRef{Group: gateway.Group, Kind: "GatewayClass", Name: "istio"}), edge, true},
		"Service":        {in("shop", "", model.TargetRef{Kind: "Service", Name: "web"}), web, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := &model.Mesh{Settings: &model.Settings{RootNamespace: "root"}, Plugins: []*model.WasmPlugin{test.plugin}}
			if got := len(extension.Choose(m, test.at)) == 1; got != test.want {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestResource: the configuration has all that the plugin says; what isn't there is
// refused, or passes.
func TestResource(t *testing.T) {
	full := plugin("p", func(p *model.WasmPlugin) {
		p.PluginName, p.Configuration, p.Fail = "root", `{"a":1}`, model.FailReload
		p.Environment, p.HostEnvironment = []model.Header{{Name: "A", Value: "b"}}, []string{"HOSTNAME"}
	})
	without := func(network bool, fail model.FailStrategy) *model.WasmPlugin {
		return plugin("p", func(p *model.WasmPlugin) { p.Module, p.Network, p.Fail = nil, network, fail })
	}
	for name, test := range map[string]struct {
		plugin *model.WasmPlugin
		want   string
	}{
		"Full": {full, `"typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm","config":{"name":"shop.p","root_id":"root",` +
			`"vm_config":{"runtime":"envoy.wasm.runtime.v8","code":{"local":{"inline_bytes":"Y29kZQ=="}},"environment_variables":{"host_env_keys":["HOSTNAME"],"key_values":{"A":"b"}}},` +
			`"configuration":{"@type":"type.googleapis.com/google.protobuf.StringValue","value":"{\"a\":1}"},"failure_policy":"FAIL_RELOAD"}}`},
		"File":          {plugin("p", func(p *model.WasmPlugin) { p.Module, p.File = nil, "/opt/p.wasm" }), `"filename":"/opt/p.wasm"`},
		"Invalid":       {plugin("p", func(p *model.WasmPlugin) { p.Invalid = "why" }), `"http_status":503`},
		"Closed":        {without(false, model.FailClose), `"http_status":503,"percentage":{"numerator":100}`},
		"Reloading":     {without(false, model.FailReload), `"http_status":503`},
		"Open":          {without(false, model.FailOpen), `"typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"}`},
		"NetworkClosed": {without(true, model.FailClose), `"typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC","rules":{},"stat_prefix":"wasm."}`},
		"NetworkOpen":   {without(true, model.FailOpen), `"typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC","stat_prefix":"wasm."}`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := extension.Resource(test.plugin)
			if err != nil {
				t.Fatal(err)
			}
			text, err := r.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), test.want) || !extension.Named(r.Name, test.plugin) {
				t.Errorf("%s: %s", r.Name, text)
			}
			// What is only missing takes nothing away from a proxy that has it.
			if missing := test.plugin.Module == nil && test.plugin.File == ""; envoy.StandsIn(r.Version) != missing {
				t.Errorf("version %s; it is a stand-in: %t", r.Version, missing)
			}
		})
	}
}
