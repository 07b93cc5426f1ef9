// SPDX-License-Identifier: Apache-2.0

package analyze_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/isthmesh/isthmesh/controlplane/analyze"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var update = flag.Bool("update", false, "rewrite the problems of each scenario in testdata")

// TestScenarios analyses the objects of each file and compares what is found
// with what is in the file. Files: objects.yaml, problems.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			read, err := manifest.Read(archive.Files[0].Data)
			if err != nil || len(read.Skipped) > 0 {
				t.Fatalf("objects: %v, skipped %v", err, read.Skipped)
			}
			read.Settings = model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local", Cluster: "east"}
			mesh := ingest.Build(read.Input, nil).Mesh
			for _, p := range mesh.Problems {
				t.Errorf("an object is wrong by itself: %+v", p)
			}
			var got strings.Builder
			for _, p := range analyze.Mesh(mesh) {
				fmt.Fprintf(&got, "%s %s/%s %s: %s\n  %s\n", p.Kind, p.Namespace, p.Name, p.Field, p.Reason, p.Message)
			}
			if *update {
				archive.Files = append(archive.Files[:1], txtar.File{Name: "problems", Data: []byte(got.String())})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got.String()); diff != "" {
				t.Errorf("problems differ (-want +got):\n%s", diff)
			}
		})
	}
}
