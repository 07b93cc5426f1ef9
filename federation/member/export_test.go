// SPDX-License-Identifier: Apache-2.0

package member

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// TestExport: what leaves the member, out of a mesh with everything that must not.
func TestExport(t *testing.T) {
	a, b := model.Locality{Region: "eu", Zone: "a"}, model.Locality{Region: "eu", Zone: "b"}
	reviews := []model.Endpoint{
		{Cluster: "east", Address: "10.0.0.1", Port: 8080, MTLS: true, Locality: b, Workload: "shop/r1"},
		{Cluster: "east", Address: "10.0.0.2", Port: 8080, MTLS: true, Locality: a, Workload: "shop/r2"},
		{Cluster: "east", Address: "10.0.0.3", Port: 8080, MTLS: true, Locality: b, Workload: "shop/r3"},
		{Cluster: "east", Address: "10.0.0.4", Port: 8080, Locality: a, Workload: "shop/bare"},
		{Cluster: "east", Address: "10.0.0.5", Port: 8080, MTLS: true, Locality: a, Workload: "shop/r1", Draining: true},
		{Cluster: "east", Address: "10.0.0.6", Port: 8080, MTLS: true, Locality: a, Workload: "bank/root"},
		{Cluster: "east", Address: "127.0.0.1", Port: 8080, MTLS: true, Locality: a, Workload: "shop/r1"},
		{Cluster: "west", Address: "192.0.2.7", Port: 15443, MTLS: true, Gateway: true, Weight: 9},
		{Cluster: "west", Address: "10.9.0.1", Port: 8080, MTLS: true, Workload: "shop/r1"},
	}
	mesh := &model.Mesh{
		Settings: &model.Settings{Cluster: "east"},
		Services: []model.ServiceState{
			{Service: &model.Service{Namespace: "shop", Name: "a-imported", Exported: true, Imported: true}},
			{Service: &model.Service{Namespace: "shop", Name: "b-alias", Exported: true, Local: true, Kind: model.ExternalName}},
			{Service: &model.Service{Namespace: "shop", Name: "c-private", Local: true}},
			{
				Service: &model.Service{
					Namespace: "shop", Name: "reviews", Local: true, Exported: true, Imported: true, ExportedUnix: 1_700_000_000,
					Ports: []model.Port{{Name: "http", Number: 80, Protocol: model.HTTP}, {Name: "tcp", Number: 9000, Protocol: model.TCP}},
				},
				Endpoints: []*model.EndpointSet{{Endpoints: reviews}, {}},
			},
			{
				Service: &model.Service{
					Namespace: "data", Name: "db", Local: true, Exported: true, Kind: model.Headless, ExportedUnix: 1_600_000_000,
					Ports: []model.Port{{Name: "pg", Number: 5432, Protocol: model.TCP}},
				},
				Endpoints: []*model.EndpointSet{{Endpoints: []model.Endpoint{
					{Cluster: "east", Address: "10.0.1.1", Port: 5432, MTLS: true, Workload: "data/db-0", Hostname: "db-0"},
				}}},
			},
		},
		Workloads: []*model.Workload{
			{Namespace: "bank", Name: "root", ServiceAccount: "root"},
			{Namespace: "data", Name: "db-0", ServiceAccount: "db"},
			{Namespace: "shop", Name: "bare", ServiceAccount: "bare"},
			{Namespace: "shop", Name: "r1", ServiceAccount: "reviews"},
			{Namespace: "shop", Name: "r2", ServiceAccount: "canary"},
			{Namespace: "shop", Name: "r3", ServiceAccount: "reviews"},
		},
	}
	want := []*model.Export{
		{
			Namespace: "data", Name: "db", Kind: model.Headless, CreatedUnix: 1_600_000_000, ServiceAccounts: []string{"data/db"},
			Ports: []model.ExportPort{{
				Name: "pg", Number: 5432, Protocol: model.TCP, Zones: []model.ZoneCount{{Ready: 1}},
				Endpoints: []model.ExportEndpoint{{Address: "10.0.1.1", Port: 5432, Hostname: "db-0", MTLS: true}},
			}},
		},
		{
			Namespace: "shop", Name: "reviews", CreatedUnix: 1_700_000_000, ServiceAccounts: []string{"shop/canary", "shop/reviews"},
			Ports: []model.ExportPort{
				{
					Name: "http", Number: 80, Protocol: model.HTTP,
					// Neither the bare pod, which can't be reached across networks, nor the foreign one counts.
					Zones: []model.ZoneCount{{Locality: a, Ready: 1}, {Locality: b, Ready: 2}},
					Endpoints: []model.ExportEndpoint{
						{Address: "10.0.0.1", Port: 8080, Locality: b, MTLS: true},
						{Address: "10.0.0.2", Port: 8080, Locality: a, MTLS: true},
						{Address: "10.0.0.3", Port: 8080, Locality: b, MTLS: true},
						{Address: "10.0.0.4", Port: 8080, Locality: a},
						{Address: "10.0.0.6", Port: 8080, Locality: a},
					},
				},
				{Name: "tcp", Number: 9000, Protocol: model.TCP},
			},
		},
	}
	if d := cmp.Diff(want, Export(mesh)); d != "" {
		t.Error(d)
	}
	if got := Export(&model.Mesh{Settings: &model.Settings{}}); got == nil || len(got) != 0 {
		t.Errorf("an empty mesh exports %v, want an empty list", got)
	}
}

// TestExportSubsets: what of subsets leaves the member: those of its own rules,
// as many as can be reached by each, and of pods' labels those alone that are asked for.
func TestExportSubsets(t *testing.T) {
	a, b := model.Locality{Region: "eu", Zone: "a"}, model.Locality{Region: "eu", Zone: "b"}
	pod := func(n string, at model.Locality, labels model.Labels) model.Endpoint {
		return model.Endpoint{Cluster: "east", Network: "n1", Address: "10.0.0." + n, Port: 8080, MTLS: true, Locality: at, Workload: "shop/r", Labels: labels, Node: "node-" + n}
	}
	draining, bare := pod("5", a, "version=v1"), pod("6", a, "version=v1")
	draining.Draining, bare.MTLS = true, false
	reviews := &model.Service{
		Hostname: "reviews.shop.svc.cluster.local", Namespace: "shop", Name: "reviews", Local: true, Exported: true, ExportedUnix: 1,
		Ports: []model.Port{{Name: "http", Number: 80, Protocol: model.HTTP}, {Name: "none", Number: 81, Protocol: model.HTTP}},
	}
	policy := &model.DestinationPolicy{Origin: model.Origin{Kind: "DestinationRule", Namespace: "shop", Name: "reviews"}, Host: "reviews.shop.svc.cluster.local"}
	for name, labels := range map[string]model.Labels{
		"v1": "version=v1", "v2": "version=v2", "zone-b": "topology.kubernetes.io/zone=b,version=v1", "all": "", "mine": "topology.istio.io/cluster=east",
		"bad value": "version=v1", "other": "version=a b",
	} {
		policy.Subsets = append(policy.Subsets, model.Subset{Name: name, Labels: labels})
	}
	mesh := &model.Mesh{
		Settings: &model.Settings{Cluster: "east", Network: "n1", RootNamespace: "istio-system", DomainSuffix: "cluster.local"},
		Services: []model.ServiceState{{Service: reviews, Endpoints: []*model.EndpointSet{{
			Endpoints: []model.Endpoint{
				pod("1", a, "secret=s,version=v1"), pod("2", b, "version=v1"), pod("3", b, "version=v1"), pod("4", b, "app=x"), draining, bare,
			},
			Beyond: []model.BeyondSubset{{Name: "v1", Labels: "version=v1", Members: []model.ClusterID{"west"}}},
		}, {}}}},
		Workloads: []*model.Workload{{Namespace: "shop", Name: "r", ServiceAccount: "reviews"}},
		Policies:  []*model.DestinationPolicy{policy},
	}
	near := func(n string, at model.Locality, mtls bool, labels model.Labels) model.ExportEndpoint {
		return model.ExportEndpoint{Address: "10.0.0." + n, Port: 8080, Locality: at, MTLS: mtls, Labels: labels}
	}
	want := []*model.Export{{
		Namespace: "shop", Name: "reviews", CreatedUnix: 1, ServiceAccounts: []string{"shop/reviews"},
		Ports: []model.ExportPort{
			{
				Name: "http", Number: 80, Protocol: model.HTTP, Zones: []model.ZoneCount{{Locality: a, Ready: 1}, {Locality: b, Ready: 3}},
				Subsets: []model.ExportSubset{
					{Name: "v1", Labels: "version=v1", Zones: []model.ZoneCount{{Locality: a, Ready: 1}, {Locality: b, Ready: 2}}},
					{Name: "v2", Labels: "version=v2"},
					{Name: "zone-b", Labels: "topology.kubernetes.io/zone=b,version=v1", Zones: []model.ZoneCount{{Locality: b, Ready: 2}}},
				},
				Endpoints: []model.ExportEndpoint{
					near("1", a, true, "topology.kubernetes.io/zone=a,version=v1"), near("2", b, true, "topology.kubernetes.io/zone=b,version=v1"),
					near("3", b, true, "topology.kubernetes.io/zone=b,version=v1"), near("4", b, true, "topology.kubernetes.io/zone=b"),
					near("6", a, false, "topology.kubernetes.io/zone=a,version=v1"),
				},
			},
			{
				Name: "none", Number: 81, Protocol: model.HTTP,
				Subsets: []model.ExportSubset{
					{Name: "v1", Labels: "version=v1"}, {Name: "v2", Labels: "version=v2"}, {Name: "zone-b", Labels: "topology.kubernetes.io/zone=b,version=v1"},
				},
			},
		},
	}}
	got := Export(mesh)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, e := range got {
		if f := wire.CheckService(wire.FromExport(e)); f != nil {
			t.Errorf("importers would refuse it: %s", f.Message)
		}
	}
}
