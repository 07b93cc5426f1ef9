// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/pipeline/scenario"
)

// meshes is how many random meshes are given to a real Envoy.
const meshes = 200

// TestEnvoyTakesEverything gives random meshes, one after the other, to a
// running sidecar and a running gateway: neither may refuse a resource, and all
// clusters and listeners must get warm.
func TestEnvoyTakesEverything(t *testing.T) {
	fabric := rig.New(t)
	leaf := rig.NewRoot(t).Leaf("spiffe://here.example/ns/shop/sa/default")
	sidecar := fabric.Pod("shop", "pod-0", "10.244.0.1").Envoy(rig.Options{
		Type: "sidecar", Identity: "spiffe://here.example/ns/shop/sa/default", Leaf: &leaf,
	})
	gateway := fabric.Pod("istio-system", "gateway", "10.244.0.2").Envoy(rig.Options{
		Type: "router", Labels: map[string]string{"istio": "eastwestgateway"}, Identity: "spiffe://here.example/ns/istio-system/sa/gateway",
	})
	var s *snapshot.Snapshot
	for seed := range meshes {
		m := scenario.Configured().Example(seed)
		if w := m.Workloads; len(w) > 0 {
			// The sidecar's own pod comes, changes and goes.
			m.Workloads = []*model.Workload{named(w[0], "shop", "pod-0")}
		}
		s = snapshot.Build(m, s)
		for name, e := range map[string]*rig.Proxy{"sidecar": sidecar, "gateway": gateway} {
			if err := e.Try(s); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, name, err)
			}
		}
	}
}

func named(w *model.Workload, namespace, name string) *model.Workload {
	out := *w
	out.Namespace, out.Name = namespace, name
	return &out
}
