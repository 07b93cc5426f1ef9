// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same draws in every run
)

// sameMesh compares what two meshes say; netip.Addr compares by ==.
var sameMesh = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

// TestIncrementalEqualsFromScratch: after any edits, what Build makes out of
// the last result is what it makes out of nothing, in any order of the objects.
func TestIncrementalEqualsFromScratch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{t}
		in := ingest.Input{Settings: model.Settings{Cluster: "east", Network: "n1", TrustDomain: "east.example"}}
		var result *ingest.Result
		for range rapid.IntRange(1, 12).Draw(t, "builds") {
			for range rapid.IntRange(1, 6).Draw(t, "edits") {
				w.edit(&in)
			}
			last := result
			result = ingest.Build(in, last)
			if want := ingest.Build(w.shuffled(in), nil); !equal(result.Mesh, want.Mesh) {
				t.Fatalf("incremental build differs (-from scratch +incremental):\n%s", cmp.Diff(want.Mesh, result.Mesh, sameMesh))
			}
			checkOrder(t, result.Mesh)
			if last != nil {
				checkSharing(t, last.Mesh, result.Mesh)
				checkConfiguration(t, last.Mesh, result.Mesh)
			}
			if again := ingest.Build(in, result); again.Mesh != result.Mesh {
				t.Fatal("the same input gives another mesh")
			}
		}
	})
}

func equal(a, b *model.Mesh) bool { return cmp.Equal(a, b, sameMesh) }

// nameOf a service is unique in a mesh.
func nameOf(s model.ServiceState) string {
	return string(s.Service.Hostname) + " " + s.Service.Namespace
}

// checkOrder: lookups by binary search need sorted, distinct keys.
func checkOrder(t *rapid.T, m *model.Mesh) {
	for i, s := range m.Services {
		if i > 0 && nameOf(m.Services[i-1]) >= nameOf(s) {
			t.Fatalf("services %q and %q are not in order", m.Services[i-1].Service.Hostname, s.Service.Hostname)
		}
		if len(s.Endpoints) != len(s.Service.Ports) || slices.Contains(s.Endpoints, nil) {
			t.Fatalf("service %q has %d ports and %d endpoint sets", s.Service.Hostname, len(s.Service.Ports), len(s.Endpoints))
		}
		if found, ok := m.Service(s.Service.Hostname); !ok || found.Service.Hostname != s.Service.Hostname {
			t.Fatalf("service %q is not found", s.Service.Hostname)
		}
	}
	for _, w := range m.Workloads {
		if m.Workload(w.Namespace, w.Name) != w {
			t.Fatalf("workload %s/%s is not found", w.Namespace, w.Name)
		}
	}
}

// checkSharing: a part that says what it said before is the same pointer. A
// hostname that went from a ServiceEntry to a Service is another object's part.
func checkSharing(t *rapid.T, last, next *model.Mesh) {
	for _, s := range next.Services {
		i := slices.IndexFunc(last.Services, func(old model.ServiceState) bool {
			return nameOf(old) == nameOf(s) && old.Service.Origin == s.Service.Origin
		})
		if i < 0 {
			continue
		}
		old := last.Services[i]
		if old.Service != s.Service && cmp.Equal(old.Service, s.Service, sameMesh) {
			t.Fatalf("service %q says the same and is another pointer", s.Service.Hostname)
		}
		for i, p := range s.Service.Ports {
			for j, q := range old.Service.Ports {
				if p.Number == q.Number && old.Endpoints[j] != s.Endpoints[i] && cmp.Equal(old.Endpoints[j], s.Endpoints[i], sameMesh) {
					t.Fatalf("endpoints of %q port %d say the same and are another pointer", s.Service.Hostname, p.Number)
				}
			}
		}
	}
	for _, w := range next.Workloads {
		if old := last.Workload(w.Namespace, w.Name); old != nil && old != w && cmp.Equal(old, w, sameMesh) {
			t.Fatalf("workload %s/%s says the same and is another pointer", w.Namespace, w.Name)
		}
	}
}
