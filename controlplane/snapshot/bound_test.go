// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"slices"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// TestBoundListenersLeaveTheProxysPorts: Envoy refuses a listener of an address
// that its own has.
func TestBoundListenersLeaveTheProxysPorts(t *testing.T) {
	all := []model.ListenerHost{{Namespace: "*", Host: "*"}}
	m := guardedMesh()
	m.Scopes = []*model.Scope{{Origin: model.Origin{Kind: "Sidecar", Namespace: "shop", Name: "s"}, Egress: []model.Egress{
		{Port: 15090, Protocol: model.HTTP, Bind: "0.0.0.0", NoCapture: true, Hosts: all}, {Port: 7000, Protocol: model.HTTP, Bind: "0.0.0.0", NoCapture: true, Hosts: all},
	}}}
	s := snapshot.Build(m, nil)
	v := viewOf(s, m, "shop", "a")
	if v.Get(envoy.ListenerType, "bound_0.0.0.0_15090") != nil || v.Get(envoy.ListenerType, "bound_0.0.0.0_7000") == nil {
		t.Error("the wrong listeners are there")
	}
	if !slices.ContainsFunc(s.Problems(), func(p model.Problem) bool {
		return p.Reason == "ReservedPort" && p.Field == "spec.egress" && p.Name == "s"
	}) {
		t.Errorf("it isn't told: %v", s.Problems())
	}
}
