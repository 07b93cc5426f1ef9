// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// TestScopesReachWhatIsTaken, in the snapshot after the one without them, only
// where they hold, and go again.
func TestScopesReachWhatIsTaken(t *testing.T) {
	before := guardedMesh()
	first := snapshot.Build(before, nil)
	was := inboundOf(first, before)
	after := *before
	after.Scopes = []*model.Scope{{
		Origin: model.Origin{Kind: "Sidecar", Namespace: "shop", Name: "a"}, Selector: "app=a",
		Ingress: []model.Ingress{{Port: 90, Protocol: model.HTTP, Endpoint: "127.0.0.1:80"}},
	}}
	second := snapshot.Build(&after, first)
	is := inboundOf(second, &after)
	if was["a"] == is["a"] || was["b"] != is["b"] || was["c"] != is["c"] {
		t.Errorf("before %v, after %v", was, is)
	}
	if back := inboundOf(snapshot.Build(before, second), before); back["a"] != was["a"] {
		t.Error("a Scope that is gone leaves something behind")
	}
}
