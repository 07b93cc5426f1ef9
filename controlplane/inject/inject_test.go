// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/networking"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var update = flag.Bool("update", false, "rewrite what is wanted in testdata")

const chart = "../../charts/istiod/"

// testConfig is the chart's own template and values, with the differences that
// a case has.
func testConfig(t testing.TB, config, values, mesh string) Config {
	t.Helper()
	text, err := os.ReadFile(chart + "files/injection-template.yaml")
	must(t, err)
	defaults, err := os.ReadFile(chart + "values.yaml")
	must(t, err)
	f := map[string]any{}
	must(t, yaml.Unmarshal([]byte(config), &f))
	templates, _ := f["templates"].(map[string]any)
	if templates == nil {
		templates = map[string]any{}
	}
	templates[SidecarTemplate] = string(text)
	if text, err = os.ReadFile(chart + "files/gateway-injection-template.yaml"); err != nil {
		t.Fatal(err)
	}
	templates[GatewayTemplate] = string(text)
	f["templates"] = templates
	body, err := yaml.Marshal(f)
	must(t, err)

	all, own := map[string]any{}, map[string]any{}
	must(t, yaml.Unmarshal(defaults, &all))
	must(t, yaml.Unmarshal([]byte(values), &own))
	overlay(all, own)
	merged, err := yaml.Marshal(all)
	must(t, err)

	m, err := ParseMesh("trustDomain: west.shop.example\n" + mesh)
	must(t, err)
	c, err := ParseConfig(body, merged, m)
	must(t, err)
	c.Namespace = "shop"
	return c
}

// proxyConfigs as ingest makes them of objects.
func proxyConfigs(t testing.TB, c Config, objects string) []*model.ProxyConfig {
	t.Helper()
	read, err := manifest.Read([]byte(objects))
	must(t, err)
	return networking.Build(networking.Input{
		ProxyConfigs: read.Istio.ProxyConfigs, Settings: &model.Settings{RootNamespace: c.RootNamespace(), ProxyImageTypes: c.ImageTypes()},
	}, nil).Proxies
}

// overlay puts an object over another: objects merge, all else is replaced.
func overlay(under, over map[string]any) {
	for k, v := range over {
		upper, isObject := v.(map[string]any)
		lower, wasObject := under[k].(map[string]any)
		if isObject && wasObject {
			overlay(lower, upper)
			continue
		}
		under[k] = v
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestInject runs the cases of testdata/pods: pod.yaml, and where it differs
// from the chart config.yaml, values.yaml, mesh.yaml, proxyconfigs.yaml and
// namespace.yaml (its labels); wanted are the warnings, and injected.yaml, skipped or refused.
func TestInject(t *testing.T) {
	files, err := filepath.Glob("testdata/pods/*.txtar")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no cases in testdata/pods")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			must(t, err)
			in := map[string]string{}
			for _, f := range archive.Files {
				in[f.Name] = string(f.Data)
			}
			c := testConfig(t, in["config.yaml"], in["values.yaml"], in["mesh.yaml"])
			must(t, yaml.Unmarshal([]byte(in["namespace.yaml"]), &c.NamespaceLabels))
			c.ProxyConfigs = proxyConfigs(t, c, in["proxyconfigs.yaml"])
			var pod corev1.Pod
			must(t, yaml.UnmarshalStrict([]byte(in["pod.yaml"]), &pod))
			untouched := pod.DeepCopy()

			got := map[string]string{}
			result, err := Inject(&pod, c)
			switch {
			case err != nil:
				if !Refused(err) {
					t.Fatal(err)
				}
				got["refused"] = err.Error() + "\n"
			case result.Skipped != "":
				got["skipped"] = result.Skipped + "\n"
			default:
				body, err := yaml.Marshal(result.Pod)
				must(t, err)
				got["injected.yaml"] = string(body)
			}
			if len(result.Warnings) > 0 {
				got["warnings"] = strings.Join(result.Warnings, "\n") + "\n"
			}
			if diff := cmp.Diff(untouched, &pod); diff != "" {
				t.Errorf("the pod given was changed:\n%s", diff)
			}
			if *update {
				rewrite(t, file, archive, got)
				return
			}
			for _, name := range []string{"injected.yaml", "skipped", "refused", "warnings"} {
				if diff := cmp.Diff(in[name], got[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if result.Skipped == "" && err == nil {
				again, err := Inject(result.Pod, c)
				must(t, err)
				if again.Skipped == "" || again.Pod != result.Pod {
					t.Error("an injected pod is injected again")
				}
			}
		})
	}
}

func rewrite(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	var kept []txtar.File
	for _, f := range archive.Files {
		switch f.Name {
		case "injected.yaml", "skipped", "refused", "warnings":
		default:
			kept = append(kept, f)
		}
	}
	for _, name := range []string{"warnings", "injected.yaml", "skipped", "refused"} {
		if got[name] != "" {
			kept = append(kept, txtar.File{Name: name, Data: []byte(got[name])})
		}
	}
	archive.Files = kept
	must(t, os.WriteFile(file, txtar.Format(archive), 0o644))
}
