// SPDX-License-Identifier: Apache-2.0

package extensions_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	extensionsv1alpha1 "istio.io/client-go/pkg/apis/extensions/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var update = flag.Bool("update", false, "write what comes of the objects into testdata")

var settings = &model.Settings{RootNamespace: "istio-system"}

// read objects; those without a name are p0, p1 and so on in namespace shop.
func read(t testing.TB, text string) extensions.Input {
	t.Helper()
	in := extensions.Input{Settings: settings}
	for i, doc := range strings.Split(text, "\n---\n") {
		o := &extensionsv1alpha1.WasmPlugin{}
		if err := yaml.Unmarshal([]byte(doc), o); err != nil {
			t.Fatal(err)
		}
		if o.Name == "" {
			o.Name = fmt.Sprint("p", i)
		}
		if o.Namespace == "" {
			o.Namespace = "shop"
		}
		in.WasmPlugins = append(in.WasmPlugins, o)
	}
	return in
}

// written is what came of objects, a line for each thing that they say.
func written(out *extensions.Output) string {
	var b strings.Builder
	for _, p := range out.Plugins {
		fmt.Fprintf(&b, "%s/%s phase=%d priority=%d fail=%d", p.Namespace, p.Name, p.Phase, p.Priority, p.Fail)
		say := func(name string, is bool, value any) {
			if is {
				fmt.Fprintf(&b, " %s=%v", name, value)
			}
		}
		say("network", p.Network, p.Network)
		say("target", p.Target.Selector != "" || len(p.Target.Refs) > 0, p.Target)
		say("plugin", p.PluginName != "", p.PluginName)
		say("config", p.Configuration != "", p.Configuration)
		say("env", len(p.Environment) > 0, p.Environment)
		say("host", len(p.HostEnvironment) > 0, p.HostEnvironment)
		say("match", len(p.Match) > 0, p.Match)
		say("file", p.File != "", p.File)
		say("invalid", p.Invalid != "", "yes")
		b.WriteString("\n")
	}
	for _, w := range out.Wanted {
		fmt.Fprintf(&b, "wants %s sha256=%.8s secret=%s/%s again=%v\n", w.URL, w.SHA256, w.Namespace, w.Secret, w.Revision != "")
	}
	for _, p := range out.Problems {
		fmt.Fprintf(&b, "%s %s: %s: %s\n", p.Name, p.Field, p.Reason, p.Message)
	}
	return b.String()
}

// TestObjects: each file of testdata has objects, then what comes of them.
func TestObjects(t *testing.T) {
	const file = "testdata/objects.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		t.Run(archive.Files[i].Name, func(t *testing.T) {
			got := written(extensions.Build(read(t, string(archive.Files[i].Data)), nil))
			if d := cmp.Diff(string(archive.Files[i+1].Data), got); d != "" && !*update {
				t.Errorf("-want +got; go test -update rewrites it:\n%s", d)
			}
			archive.Files[i+1].Data = []byte(got)
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestModules: what was fetched is given to those that want it, what could not be is
// told with what follows from it, and what says the same stays the same.
func TestModules(t *testing.T) {
	in := read(t, "spec: {url: 'https://a.example/p.wasm'}\n---\nspec: {url: 'https://a.example/q.wasm', failStrategy: FAIL_OPEN}")
	first := extensions.Build(in, nil)
	if len(first.Wanted) != 2 || len(first.Problems) != 0 {
		t.Fatalf("%+v", first)
	}
	module := &model.WasmModule{SHA256: "x", Code: []byte("x")}
	in.Modules = map[extensions.Wanted]*model.WasmModule{first.Wanted[0]: module}
	in.Failures = map[extensions.Wanted]string{first.Wanted[1]: "nobody answers"}
	second := extensions.Build(in, first)
	if second.Plugins[0].Module != module || second.Plugins[0] == first.Plugins[0] || second.Plugins[1] != first.Plugins[1] {
		t.Errorf("%+v", second.Plugins)
	}
	want := []model.Problem{{
		Kind: "WasmPlugin", Namespace: "shop", Name: "p1", Field: "spec.url", Reason: "ModuleUnavailable",
		Message: "the module can't be had: nobody answers; until then traffic passes without the plugin (failStrategy FAIL_OPEN)",
	}}
	if d := cmp.Diff(want, second.Problems); d != "" {
		t.Error(d)
	}
	if extensions.Build(in, second) != second {
		t.Error("the same input makes another output")
	}
	in.WasmPlugins = append(in.WasmPlugins[:1:1], in.WasmPlugins[1].DeepCopy())
	if third := extensions.Build(in, second); third.Plugins[0] != second.Plugins[0] || third.Plugins[1] != second.Plugins[1] || &third.Wanted[0] != &second.Wanted[0] {
		t.Error("what says the same has another pointer")
	}
}

// TestAlways: a module that is always fetched again is, when its object says
// something else, not when the mesh writes its status.
func TestAlways(t *testing.T) {
	in := read(t, "spec: {url: 'registry.example/p:v1', imagePullPolicy: Always}")
	wanted := func() extensions.Wanted { return extensions.Build(in, nil).Wanted[0] }
	before := wanted()
	in.WasmPlugins[0].ResourceVersion = "2"
	if wanted() != before {
		t.Error("another status has it fetched again")
	}
	in.WasmPlugins[0].Generation = 2
	specified := wanted()
	in.WasmPlugins[0].Labels = map[string]string{"a": "b"}
	if labelled := wanted(); specified == before || labelled == specified || labelled.Source() != before.Source() {
		t.Error("another spec, or another label, doesn't have it fetched again")
	}
}

// FuzzImage: no reference panics, and what can be read is a registry and a name.
func FuzzImage(f *testing.F) {
	for _, s := range []string{"a", "a/b:c", "localhost:5000/a@sha256:" + strings.Repeat("0", 64), "[::1]:5/a", "a:b/c:d@", "/", "@", "a/../b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		i, err := extensions.ParseImage(s)
		if err == nil && (i.Registry == "" || i.Repository == "" || i.Tag == "" && i.Digest == "" || strings.Contains(i.Repository, "..")) {
			t.Errorf("%q: %+v", s, i)
		}
	})
}
