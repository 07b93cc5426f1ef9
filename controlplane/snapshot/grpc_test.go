// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func TestGRPCPorts(t *testing.T) {
	rule := func(host model.Hostname, port uint16) []model.HTTPRule {
		return []model.HTTPRule{{Destinations: []model.Destination{{Host: host, Port: port}}}}
	}
	got := grpcPorts([]*model.Routing{
		{Origin: model.Origin{Kind: "HTTPRoute"}, HTTP: rule("web", 80)},
		{Origin: model.Origin{Kind: "GRPCRoute"}, HTTP: rule("cart", 9000)},
	})
	want := map[grpcPort]bool{{"cart", 9000}: true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(grpcPort{})); diff != "" {
		t.Error(diff)
	}
}
