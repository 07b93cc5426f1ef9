// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/golden"
)

// TestScenarios builds the objects of each file and compares the mesh that it
// gives with the one in the file. Files: settings.yaml (what the installation
// says), objects.yaml, then.yaml (a later state, built on the result of the
// first, which is what the mesh is of), mesh.
func TestScenarios(t *testing.T) {
	golden.Archives(t, "mesh", []string{"settings.yaml", "objects.yaml", "then.yaml"}, func(t *testing.T, parts map[string][]byte) string {
		settings := model.Settings{
			MeshID: "shop", Cluster: "east", Network: "east", TrustDomain: "east.shop.example",
			RootNamespace: "istio-system", DomainSuffix: "cluster.local",
		}
		if err := yaml.UnmarshalStrict(parts["settings.yaml"], &settings); err != nil {
			t.Fatal(err)
		}
		var result *ingest.Result
		for _, name := range []string{"objects.yaml", "then.yaml"} {
			if parts[name] == nil {
				continue
			}
			read, err := manifest.Read(parts[name])
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(read.Skipped) > 0 {
				t.Fatalf("%s holds objects that are not read: %v", name, read.Skipped)
			}
			read.Settings = settings
			result = ingest.Build(read.Input, result)
		}
		if result == nil {
			t.Fatal("no objects.yaml")
		}
		return printMesh(result.Mesh)
	})
}
