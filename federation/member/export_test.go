// SPDX-License-Identifier: Apache-2.0

package member

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
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
