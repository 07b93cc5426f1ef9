// SPDX-License-Identifier: Apache-2.0

package patch_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/patch"
	"github.com/isthmesh/isthmesh/test/golden"
)

// TestPatches applies the patches of each file (part "patches.yaml", a list as in
// spec.configPatches) to a resource ("cluster.yaml", "listener.yaml" or
// "routes.yaml"), for gateways when there is a part "gateway".
func TestPatches(t *testing.T) {
	golden.Archives(t, "result", []string{"patches.yaml", "cluster.yaml", "listener.yaml", "routes.yaml", "gateway"}, result)
}

// TestBootstraps: each patch of the bootstrap is a resource, in order; contexts of
// other proxies, and what is the agent's, are left out or told.
func TestBootstraps(t *testing.T) {
	const text = `
- applyTo: BOOTSTRAP
  patch: {operation: MERGE, value: {stats_flush_interval: 1s}}
- applyTo: BOOTSTRAP
  match: {context: GATEWAY}
  patch: {operation: MERGE, value: {stats_flush_interval: 2s}}
- applyTo: BOOTSTRAP
  match: {context: SIDECAR_INBOUND}
  patch: {operation: MERGE_AND_REPLACE_LIST, value: {node: {id: x}, admin: {address: {pipe: {path: x}}}, dynamic_resources: {}, static_resources: {clusters: [{name: xds-grpc}, {name: mine}], listeners: [{name: agent}]}}}
- applyTo: BOOTSTRAP
  patch: {operation: MERGE, value: {no_such_field: 1}}
- applyTo: CLUSTER
  patch: {operation: ADD, value: {name: added, type: STATIC, connect_timeout: 1s}}
`
	for gateway, want := range map[bool][]string{
		false: {"00000/MERGE/shop/f/0", "00001/MERGE_AND_REPLACE_LIST/shop/f/2"},
		true:  {"00000/MERGE/shop/f/0", "00001/MERGE/shop/f/1"},
	} {
		all := patches(t, text)
		set, problems := patch.NewSet(all, gateway)
		resources, more := set.Bootstraps()
		var got []string
		for _, r := range resources {
			got = append(got, strings.Replace(r.Name, all[0].Namespace+"/"+all[0].Name, "shop/f", 1))
			i, _ := strconv.Atoi(r.Name[strings.LastIndex(r.Name, "/")+1:])
			for j, p := range all {
				if patch.IsBootstrap(p, r.Name) != (i == j) {
					t.Errorf("%s is said to be of patch %d", r.Name, j)
				}
			}
			if patch.MergesBootstrap(r.Name) != strings.Contains(r.Name, "REPLACE") {
				t.Errorf("%s: replaces lists: %v", r.Name, patch.MergesBootstrap(r.Name))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("gateway %v (-want +got):\n%s", gateway, diff)
		}
		var fields []string
		for _, p := range append(problems, more...) {
			fields = append(fields, p.Field+" "+p.Reason)
		}
		told := []string{"spec.configPatches[3].patch.value Invalid"}
		if !gateway {
			for _, f := range []string{"admin.address", "dynamic_resources", "node", "static_resources.clusters[0]", "static_resources.listeners[0]"} {
				told = append(told, "spec.configPatches[2].patch.value."+f+" NotSupported")
			}
		}
		if diff := cmp.Diff(told, fields); diff != "" {
			t.Errorf("gateway %v: problems (-want +got):\n%s", gateway, diff)
		}
	}
}

func result(t *testing.T, parts map[string][]byte) string {
	_, gateway := parts["gateway"]
	set, problems := patch.NewSet(patches(t, string(parts["patches.yaml"])), gateway)
	var got strings.Builder
	show := func(r *envoy.Resource) {
		text, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if text, err = yaml.JSONToYAML(text); err != nil {
			t.Fatal(err)
		}
		got.Write(text)
	}
	for name, kind := range map[string]struct {
		typeURL string
		empty   proto.Message
	}{
		"cluster.yaml":  {envoy.ClusterType, &clusterv3.Cluster{}},
		"listener.yaml": {envoy.ListenerType, &listenerv3.Listener{}},
		"routes.yaml":   {envoy.RouteType, &routev3.RouteConfiguration{}},
	} {
		if parts[name] == nil {
			continue
		}
		text, err := yaml.YAMLToJSON(parts[name])
		if err == nil {
			err = protojson.Unmarshal(text, kind.empty)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := envoy.NewResource(kind.empty.(interface{ GetName() string }).GetName(), kind.empty)
		if err != nil {
			t.Fatal(err)
		}
		now, more := set.Resource(kind.typeURL, r)
		problems = append(problems, more...)
		switch now {
		case nil:
			got.WriteString("removed\n")
		case r:
			got.WriteString("as it was\n")
		default:
			show(now)
		}
		added, more := set.Added(kind.typeURL)
		problems = append(problems, more...)
		for _, a := range added {
			got.WriteString("added:\n")
			show(a)
		}
	}
	for _, p := range problems {
		// The text of protobuf's errors varies on purpose in its white space.
		fmt.Fprintf(&got, "problem %s %s: %s\n", p.Field, p.Reason, strings.Join(strings.Fields(strings.ReplaceAll(p.Message, "\u00a0", " ")), " "))
	}
	return got.String()
}

// patches as ingest reads them.
func patches(t *testing.T, text string) []*model.Patch {
	t.Helper()
	var list []struct {
		ApplyTo string
		Match   json.RawMessage
		Patch   struct {
			Operation, FilterClass string
			Value                  json.RawMessage
		}
	}
	if err := yaml.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	var out []*model.Patch
	for i, p := range list {
		var context struct{ Context string }
		if len(p.Match) > 0 {
			if err := json.Unmarshal(p.Match, &context); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, &model.Patch{
			Origin: model.Origin{Kind: "EnvoyFilter", Namespace: "shop", Name: "f"}, Index: i,
			ApplyTo: p.ApplyTo, Context: context.Context, Operation: p.Patch.Operation, FilterClass: p.Patch.FilterClass, Match: p.Match, Value: p.Patch.Value,
		})
	}
	return out
}

func TestChosen(t *testing.T) {
	one := func(namespace, name string, priority int32, target model.Target) *model.Patch {
		return &model.Patch{Origin: model.Origin{Kind: "EnvoyFilter", Namespace: namespace, Name: name}, Priority: priority, Target: target}
	}
	gateway := model.Target{Refs: []model.TargetRef{{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: "g"}}}
	class := model.Target{Refs: []model.TargetRef{{Group: "gateway.networking.k8s.io", Kind: "GatewayClass", Name: "c"}}}
	m := &model.Mesh{Settings: &model.Settings{RootNamespace: "istio-system"}, Patches: []*model.Patch{
		one("shop", "first", -1, model.Target{}), one("shop", "own", 0, model.Target{}), one("istio-system", "root", 0, model.Target{}),
		one("bank", "other", 0, model.Target{}), one("shop", "selects", 0, model.Target{Selector: "app=x"}), one("istio-system", "rootSelects", 0, model.Target{Selector: "app=x"}),
		{Origin: model.Origin{Kind: "EnvoyFilter", Namespace: "bank", Name: "versioned"}, Match: []byte(`{"proxy":{"proxyVersion":"^1\\.3.*"}}`)},
		{Origin: model.Origin{Kind: "EnvoyFilter", Namespace: "pay", Name: "tiered"}, Match: []byte(`{"proxy":{"metadata":{"TIER":"front","APP":"x"}}}`)},
		one("shop", "gateway", 1, gateway), one("istio-system", "class", 1, class), one("shop", "notRoot", 1, class),
	}}
	for name, c := range map[string]struct {
		who  patch.Proxy
		want string
	}{
		"Namespace":    {patch.Proxy{Namespace: "shop"}, "first root own"},
		"Labels":       {patch.Proxy{Namespace: "shop", Labels: map[string]string{"app": "x"}}, "first root rootSelects own selects"},
		"Other":        {patch.Proxy{Namespace: "default"}, "root"},
		"Version":      {patch.Proxy{Namespace: "bank", Version: "1.30"}, "root other versioned"},
		"OtherVersion": {patch.Proxy{Namespace: "bank", Version: "1.20"}, "root other"},
		"Metadata":     {patch.Proxy{Namespace: "pay", Metadata: map[string]string{"TIER": "front", "APP": "x", "MORE": "y"}}, "root tiered"},
		"OtherValue":   {patch.Proxy{Namespace: "pay", Metadata: map[string]string{"TIER": "front", "APP": "y"}}, "root"},
		"NotTold":      {patch.Proxy{Namespace: "pay", Metadata: map[string]string{"TIER": "front"}}, "root"},
		"Gateway":      {patch.Proxy{Namespace: "shop", Router: true, Gateway: "g"}, "first root own gateway"},
		"Class":        {patch.Proxy{Namespace: "shop", Router: true, Class: "c"}, "first root own class"},
		"SidecarNotG":  {patch.Proxy{Namespace: "shop", Gateway: "g", Class: "c"}, "first root own"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range patch.Chosen(m, c.who) {
				got = append(got, p.Name)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

// TestWhatIsNotAboutItStays: the very same resource comes back.
func TestWhatIsNotAboutItStays(t *testing.T) {
	r, err := envoy.NewResource("x", &clusterv3.Cluster{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	set, _ := patch.NewSet(patches(t, `[{applyTo: CLUSTER, match: {cluster: {name: y}}, patch: {operation: MERGE, value: {connect_timeout: 1s}}}]`), false)
	if now, _ := set.Resource(envoy.ClusterType, r); now != r {
		t.Error("it is another one")
	}
}

// FuzzRead: whatever is in a patch, it is read or told.
func FuzzRead(f *testing.F) {
	f.Add("HTTP_FILTER", "INSERT_BEFORE", `{"listener":{"filterChain":{"filter":{"name":"x"}}}}`, `{"name":"x"}`)
	f.Add("CLUSTER", "MERGE", `{"cluster":1}`, `{"connect_timeout":"x"}`)
	r, err := envoy.NewResource("outbound|"+strconv.Itoa(80)+"||a", &clusterv3.Cluster{Name: "a"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to, operation, match, value string) {
		p := &model.Patch{ApplyTo: to, Operation: operation, Match: []byte(match), Value: []byte(value)}
		set, problems := patch.NewSet([]*model.Patch{p}, false)
		if set == nil && len(problems) == 0 {
			t.Error("neither read nor told")
		}
		set.Resource(envoy.ClusterType, r)
		set.Added(envoy.ClusterType)
	})
}
