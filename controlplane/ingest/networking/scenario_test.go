// SPDX-License-Identifier: Apache-2.0

package networking_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/networking"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var update = flag.Bool("update", false, "rewrite the model of each scenario in testdata")

func settings() *model.Settings {
	return &model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local"}
}

// input of networking.Build is what manifest reads.
func input(i *ingest.Istio, s *model.Settings) networking.Input {
	return networking.Input{
		VirtualServices: i.VirtualServices, DestinationRules: i.DestinationRules, Gateways: i.Gateways,
		Sidecars: i.Sidecars, ProxyConfigs: i.ProxyConfigs, EnvoyFilters: i.EnvoyFilters, Settings: s,
	}
}

// TestScenarios builds the objects of each file and compares the parts of the
// model that they give with those in the file. Files: settings.yaml,
// objects.yaml, model.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { runScenario(t, file) })
	}
}

func runScenario(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, golden := settings(), -1
	got := ""
	for i, f := range archive.Files {
		switch f.Name {
		case "settings.yaml":
			if err := yaml.UnmarshalStrict(f.Data, s); err != nil {
				t.Fatal(err)
			}
		case "objects.yaml":
			read, err := manifest.Read(f.Data)
			if err != nil {
				t.Fatal(err)
			}
			if len(read.Skipped) > 0 {
				t.Fatalf("objects that are not read: %v", read.Skipped)
			}
			got = describe(networking.Build(input(&read.Istio, s), nil))
		case "model":
			golden = i
		default:
			t.Fatalf("unknown part %q", f.Name)
		}
	}
	if *update {
		if golden < 0 {
			archive.Files = append(archive.Files, txtar.File{Name: "model"})
			golden = len(archive.Files) - 1
		}
		archive.Files[golden].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if golden < 0 {
		t.Fatal("no model; run go test with -update")
	}
	if diff := cmp.Diff(string(archive.Files[golden].Data), got); diff != "" {
		t.Errorf("model differs (-want +got):\n%s", diff)
	}
}
