// SPDX-License-Identifier: Apache-2.0

package ingest_test

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
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var update = flag.Bool("update", false, "rewrite the mesh of each scenario in testdata")

// TestScenarios builds the objects of each file and compares the mesh that it
// gives with the one in the file. Files: settings.yaml (what the installation
// says), objects.yaml, then.yaml (a later state, built on the result of the
// first, which is what the mesh is of), mesh.
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
	settings := model.Settings{
		MeshID: "shop", Cluster: "east", Network: "east", TrustDomain: "east.shop.example",
		RootNamespace: "istio-system", DomainSuffix: "cluster.local",
	}
	var result *ingest.Result
	golden := -1
	for i, f := range archive.Files {
		switch f.Name {
		case "settings.yaml":
			if err := yaml.UnmarshalStrict(f.Data, &settings); err != nil {
				t.Fatal(err)
			}
		case "objects.yaml", "then.yaml":
			read, err := manifest.Read(f.Data)
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			if len(read.Skipped) > 0 {
				t.Fatalf("%s holds objects that are not read: %v", f.Name, read.Skipped)
			}
			read.Settings = settings
			result = ingest.Build(read.Input, result)
		case "mesh":
			golden = i
		default:
			t.Fatalf("unknown part %q", f.Name)
		}
	}
	if result == nil {
		t.Fatal("no objects.yaml")
	}
	got := printMesh(result.Mesh)
	if *update {
		if golden < 0 {
			archive.Files = append(archive.Files, txtar.File{Name: "mesh"})
			golden = len(archive.Files) - 1
		}
		archive.Files[golden].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if golden < 0 {
		t.Fatal("no mesh; run go test with -update")
	}
	if diff := cmp.Diff(string(archive.Files[golden].Data), got); diff != "" {
		t.Errorf("mesh differs (-want +got):\n%s", diff)
	}
}
