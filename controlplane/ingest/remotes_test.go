// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestUnreachedGateways: what is said of a gateway changes the endpoints behind
// it and nothing else, and is no reason to take them away.
func TestUnreachedGateways(t *testing.T) {
	export := func(name string) *model.Export {
		return &model.Export{Namespace: "shop", Name: name, ServiceAccounts: []string{"shop/" + name}, Ports: []model.ExportPort{{
			Number: 80, Protocol: model.HTTP, Zones: []model.ZoneCount{{Ready: 4}},
			Subsets: []model.ExportSubset{{Name: "v1", Labels: "version=v1", Zones: []model.ZoneCount{{Ready: 2}}}},
		}}}
	}
	at := func(address string) model.GatewayAddress { return model.GatewayAddress{Address: address, Port: 15443} }
	in := ingest.Input{
		Settings: model.Settings{Cluster: "west", Network: "n1"},
		Imports: &model.Imports{Members: []model.ImportedMember{
			{Cluster: "east", Network: "n2", TrustDomain: "east.example", Gateways: []model.GatewayAddress{at("192.0.2.1"), at("192.0.2.2")}, Services: []*model.Export{export("reviews")}},
			{Cluster: "near", Network: "n1", TrustDomain: "near.example", Gateways: []model.GatewayAddress{at("192.0.2.5")}},
			{Cluster: "north", Network: "n3", TrustDomain: "north.example", Gateways: []model.GatewayAddress{at("192.0.2.1")}, Services: []*model.Export{export("ratings")}},
			{Cluster: "south", Network: "n4", TrustDomain: "south.example"},
		}},
	}
	first := ingest.Build(in, nil)
	want := []*model.Remote{
		{Cluster: "east", TrustDomain: "east.example", Gateways: []model.GatewayAddress{at("192.0.2.1"), at("192.0.2.2")}},
		{Cluster: "north", TrustDomain: "north.example", Gateways: []model.GatewayAddress{at("192.0.2.1")}},
	}
	if d := cmp.Diff(want, first.Mesh.Remotes); d != "" {
		t.Errorf("members on other networks (-want +got):\n%s", d)
	}
	// show which gateways a service's endpoints, and those of its subset, are at.
	show := func(m *model.Mesh, host model.Hostname) (out string) {
		st, _ := m.Service(host)
		for _, e := range append(st.Endpoints[0].Endpoints, st.Endpoints[0].Beyond[0].Endpoints...) {
			out += fmt.Sprintf("%s %d %v\n", e.Address, e.Weight, e.Unreached)
		}
		return out
	}
	const reviews, ratings = model.Hostname("reviews.shop.svc.cluster.local"), model.Hostname("ratings.shop.svc.cluster.local")
	all := "192.0.2.1 2 false\n192.0.2.2 2 false\n192.0.2.1 1 false\n192.0.2.2 1 false\n"
	if d := cmp.Diff(all, show(first.Mesh, reviews)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}

	in.Unreached = []model.RemoteGateway{{Cluster: "east", GatewayAddress: at("192.0.2.1")}, {Cluster: "nobody", GatewayAddress: at("192.0.2.2")}}
	second := ingest.Build(in, first)
	if d := cmp.Diff("192.0.2.1 2 true\n192.0.2.2 2 false\n192.0.2.1 1 true\n192.0.2.2 1 false\n", show(second.Mesh, reviews)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	was, _ := first.Mesh.Service(ratings)
	now, _ := second.Mesh.Service(ratings)
	if was.Endpoints[0] != now.Endpoints[0] || &first.Mesh.Remotes[0] != &second.Mesh.Remotes[0] || len(second.Mesh.Problems) != len(first.Mesh.Problems) {
		t.Error("what has nothing to do with the gateway is another one")
	}
	if again := ingest.Build(in, second); again.Mesh != second.Mesh {
		t.Error("the same input gives another mesh")
	}

	in.Unreached = nil
	if d := cmp.Diff(all, show(ingest.Build(in, second).Mesh, reviews)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
