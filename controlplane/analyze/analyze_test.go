// SPDX-License-Identifier: Apache-2.0

package analyze_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/analyze"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/golden"
)

// TestScenarios analyses the objects of each file and compares what is found
// with what is in the file. Files: objects.yaml, problems.
func TestScenarios(t *testing.T) {
	golden.Archives(t, "problems", []string{"objects.yaml"}, func(t *testing.T, parts map[string][]byte) string {
		read, err := manifest.Read(parts["objects.yaml"])
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
		return got.String()
	})
}
