// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

var settings = &model.Settings{
	StandardMetrics: true,
	MeshID:          "mesh", Cluster: "west", Network: "west", TrustDomain: "west.example", RootNamespace: "istio-system",
	DomainSuffix: "cluster.local", AutoMTLS: true, ConnectTimeoutMillis: 10000,
}

// world is a mesh of so many HTTP services, each in one of ten namespaces, with
// so many pods behind it.
func world(services, pods int) *model.Mesh {
	m := &model.Mesh{Settings: settings}
	for i := range services {
		ns := fmt.Sprintf("ns%d", i%10)
		name := fmt.Sprintf("svc%05d", i)
		svc := &model.Service{
			Hostname: model.Hostname(name + "." + ns + ".svc.cluster.local"), Name: name, Namespace: ns,
			Addresses:  []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})},
			Ports:      []model.Port{{Name: "http", Number: 80, Protocol: model.HTTP}},
			Identities: []string{"spiffe://west.example/ns/" + ns + "/sa/" + name},
			Local:      true,
		}
		set := &model.EndpointSet{}
		for j := range pods {
			set.Endpoints = append(set.Endpoints, model.Endpoint{
				Address: netip.AddrFrom4([4]byte{10, byte(64 + j), byte(i >> 8), byte(i)}).String(), Port: 8080,
				Weight: 1, MTLS: true, Network: "west", Cluster: "west",
				Locality: model.Locality{Region: "eu", Zone: fmt.Sprintf("eu-%d", j%2)},
			})
			m.Workloads = append(m.Workloads, &model.Workload{
				Name: fmt.Sprintf("%s-%d", name, j), Namespace: ns, Meshed: true,
				Locality: model.Locality{Region: "eu", Zone: fmt.Sprintf("eu-%d", j%2)},
				Inbound:  []model.InboundPort{{Port: 8080, Protocol: model.HTTP, Service: svc.Hostname, ServicePort: 80}},
			})
		}
		m.Services = append(m.Services, model.ServiceState{Service: svc, Endpoints: []*model.EndpointSet{set}})
	}
	sortMesh(m)
	return m
}

func sortMesh(m *model.Mesh) {
	slices.SortFunc(m.Services, func(a, b model.ServiceState) int {
		return compare(string(a.Service.Hostname), string(b.Service.Hostname))
	})
	slices.SortFunc(m.Workloads, func(a, b *model.Workload) int {
		return compare(a.Namespace+"\x00"+a.Name, b.Namespace+"\x00"+b.Name)
	})
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// withoutOne is the mesh after one endpoint of a service went.
func withoutOne(m *model.Mesh, service int) *model.Mesh {
	out := *m
	out.Services = slices.Clone(m.Services)
	st := out.Services[service]
	out.Services[service] = model.ServiceState{
		Service:   st.Service,
		Endpoints: []*model.EndpointSet{{Endpoints: st.Endpoints[0].Endpoints[1:]}},
	}
	return &out
}

// proxy beside a workload.
func proxy(w *model.Workload) *model.Proxy {
	return &model.Proxy{Type: model.Sidecar, Name: w.Name, Namespace: w.Namespace, Workload: w}
}
