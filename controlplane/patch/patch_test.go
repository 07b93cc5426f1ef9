// SPDX-License-Identifier: Apache-2.0

package patch_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/patch"
)

var update = flag.Bool("update", false, "rewrite the results in testdata")

// TestPatches applies the patches of each file (part "patches.yaml", a list as in
// spec.configPatches) to a resource ("cluster.yaml", "listener.yaml" or
// "routes.yaml"), for gateways when there is a part "gateway".
func TestPatches(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runFile(t, file) })
	}
}

func runFile(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for _, f := range archive.Files {
		parts[f.Name] = string(f.Data)
	}
	_, gateway := parts["gateway"]
	set, problems := patch.NewSet(patches(t, parts["patches.yaml"]), gateway)
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
		if parts[name] == "" {
			continue
		}
		text, err := yaml.YAMLToJSON([]byte(parts[name]))
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
	if *update {
		archive.Files = append(archive.Files[:0:0], archive.Files...)
		for i, f := range archive.Files {
			if f.Name == "result" {
				archive.Files = append(archive.Files[:i], archive.Files[i+1:]...)
				break
			}
		}
		archive.Files = append(archive.Files, txtar.File{Name: "result", Data: []byte(got.String())})
		if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(parts["result"], got.String()); d != "" {
		t.Errorf("-want +got; go test -update rewrites the results:\n%s", d)
	}
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
