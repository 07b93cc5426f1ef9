// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/credential"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/pipeline/scenario"
)

// fronts is how many random gateways are given to a real Envoy.
const fronts = 120

// TestEnvoyTakesAllGateways gives random gateways and their routings, one after
// the other, to a running ingress proxy: it may refuse nothing, and everything
// must get warm.
func TestEnvoyTakesAllGateways(t *testing.T) {
	root, fabric := rig.NewRoot(t), rig.New(t)
	leaf := root.Leaf("spiffe://here.example/ns/edge/sa/gateway")
	gateway := fabric.Pod("edge", "gateway-1", "10.244.0.9").Envoy(rig.Options{
		Type: "router", Labels: map[string]string{"istio": "ingress"}, Identity: "spiffe://here.example/ns/edge/sa/gateway", Leaf: &leaf,
	})
	chain, key := root.Server("a.example", "*.example")
	held := credential.Build([]*corev1.Secret{secret("front", chain, key, root.PEM())}, nil, nil).Credentials
	pod := &model.Workload{Namespace: "edge", Name: "gateway-1", ServiceAccount: "gateway", Identity: "spiffe://here.example/ns/edge/sa/gateway", Labels: map[string]string{"istio": "ingress"}, Meshed: true}
	var s *snapshot.Snapshot
	listeners := 0
	for seed := range fronts {
		m := scenario.Fronted().Example(seed)
		m.Credentials, m.Workloads = held, []*model.Workload{pod}
		s = snapshot.Build(m, s)
		if err := gateway.Try(s); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		listeners += gateway.Stat("listener_manager.total_listeners_active")
	}
	if listeners < fronts {
		t.Errorf("%d listeners in %d meshes: the gateways are not what they should be", listeners, fronts)
	}
}
