// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/patches"
)

// TestBootstrapPatches: an agent that asks before its Envoy starts gets the
// patches that are for it, and what it says of one is in the filter's status.
func TestBootstrapPatches(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "bootstraps"
	p := cp.namespaceWithClient(t, ns, "10.1.0.9")
	filter := func(name, list string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: %s, namespace: %s}, spec: {configPatches: [%s]}}`, name, ns, list)
	}
	cp.apply(t, filter("good", `{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {stats_flush_interval: 1s}}}, {applyTo: BOOTSTRAP, match: {context: GATEWAY}, patch: {operation: MERGE, value: {stats_flush_interval: 2s}}}`))
	cp.apply(t, filter("own", `{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {node: {id: other}}}}`))
	cp.apply(t, filter("wrong", `{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {no_such: 1}}}`))
	cp.says(t, "EnvoyFilter", ns+"/wrong", "False Invalid: ", "it is no Bootstrap of Envoy")
	cp.says(t, "EnvoyFilter", ns+"/own", "True NotSupported: ", "value.node", "it is the agent's")

	id := spiffeid.RequireFromString("spiffe://cluster.local/ns/istio-system/sa/istiod")
	leaf := cp.leaf(t, ns, t.TempDir(), id)
	node, err := bootstrap.Node{
		Type: "sidecar", Name: "client", Namespace: ns, Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.9")}, ServiceAccount: "client",
		DomainSuffix: "cluster.local", ClusterID: "Kubernetes", Labels: map[string]string{"app": "client"}, Version: "1.31.0",
	}.Envoy()
	if err != nil {
		t.Fatal(err)
	}
	asks := &patches.Client{
		Address: cp.xds, ServerName: "istiod.istio-system.svc", ServerID: id, Node: node,
		Leaf: func() *csr.Leaf { return leaf }, Clock: clock.RealClock{}, Random: rand.Float64,
	}
	got, err := asks.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range got {
		names = append(names, g.Name)
	}
	if diff := cmp.Diff([]string{"00000/MERGE/" + ns + "/good/0", "00001/MERGE/" + ns + "/own/0"}, names); diff != "" {
		t.Fatalf("patches (-want +got):\n%s", diff)
	}
	if got[0].Value.GetStatsFlushInterval().AsDuration() != time.Second {
		t.Errorf("got %v", got[0].Value)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		asks.Refuse(ctx, []patches.Refusal{{Patch: got[0], Reason: "Envoy does not like it"}})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	cp.says(t, "EnvoyFilter", ns+"/good", "False RejectedByProxy: ", "pod "+ns+"/client started without this patch", "Envoy does not like it", "spec.configPatches[0].patch.value")
	// Mended, it is no more refused.
	cp.apply(t, filter("good", `{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {stats_flush_interval: 3s}}}`))
	cp.says(t, "EnvoyFilter", ns+"/good", "True Reconciled")
	if dump := p.get("/config_dump"); strings.Contains(dump, "stats_flush_interval") {
		t.Error("a running Envoy's bootstrap changed")
	}
	cp.alive(t)
}
