// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"net/netip"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// TestCrews: replicas share the listener that they take calls on, also after a
// change; a workload that differs in anything that counts has its own.
func TestCrews(t *testing.T) {
	const name = envoy.VirtualInbound
	m := world(1, 6)
	change := func(i int, f func(w *model.Workload)) {
		w := *m.Workloads[i]
		f(&w)
		m.Workloads[i] = &w
	}
	change(1, func(w *model.Workload) { w.MTLS = model.Strict })
	change(2, func(w *model.Workload) { w.Labels = map[string]string{"guarded": "yes"} })
	change(3, func(w *model.Workload) { w.Addresses = []netip.Addr{netip.MustParseAddr("fd00::1")} })
	change(4, func(w *model.Workload) { w.PortMTLS = []model.PortMTLS{{Port: 9090, Mode: model.Disable}} })
	m.Authorizations = []*model.Authorization{{
		Origin: model.Origin{Kind: "AuthorizationPolicy", Namespace: "ns0", Name: "deny"}, Target: model.Target{Selector: "guarded=yes"},
		Action: model.Deny, Rules: []model.AuthorizationRule{{}},
	}}
	listener := func(s *snapshot.Snapshot, m *model.Mesh, i int) *envoy.Resource {
		return s.View(proxy(m.Workloads[i])).Types[envoy.ListenerType].Own.Get(name)
	}
	first := snapshot.Build(m, nil)
	for i, same := range []bool{true, false, false, false, false, true} {
		if got := listener(first, m, i) == listener(first, m, 0); got != same {
			t.Errorf("workload %d shares the first one's listener: %t, want %t", i, got, same)
		}
	}
	// The policy now selects one that shared, and no more the one that it did.
	changed := *m
	other := *m.Authorizations[0]
	other.Target.Selector = "guarded=no"
	changed.Authorizations = []*model.Authorization{&other}
	second := snapshot.Build(&changed, first)
	if listener(second, &changed, 2).Version != listener(second, &changed, 0).Version {
		t.Error("a workload that no policy selects any more has another listener than the others")
	}
	if listener(second, &changed, 0) != listener(first, m, 0) {
		t.Error("a workload that the change doesn't concern has a new listener")
	}
}
