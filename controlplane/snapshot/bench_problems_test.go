// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// classy is a mesh of 1,000 services whose callers, in 200 namespaces, are of a
// class each; a third of them see everything, the others a tenth of it.
func classy() *model.Mesh {
	m := configured(world(1000, 1))
	m.Scopes, m.Policies = nil, m.Policies[:0]
	for i := range 200 {
		ns := fmt.Sprintf("caller%03d", i)
		m.Workloads = append(m.Workloads, &model.Workload{Name: "pod", Namespace: ns, Meshed: true})
		host := model.ListenerHost{Namespace: fmt.Sprintf("ns%d", i%10), Host: "*"}
		if i%3 == 0 {
			host.Namespace = "*"
		}
		m.Scopes = append(m.Scopes, &model.Scope{
			Origin: model.Origin{Kind: "Sidecar", Namespace: ns, Name: "own"}, Egress: []model.Egress{{Hosts: []model.ListenerHost{host}}},
		})
	}
	for i := range m.Routings {
		r := *m.Routings[i]
		r.HTTP = []model.HTTPRule{{Destinations: []model.Destination{{Host: m.Services[i].Service.Hostname, Weight: 1}}}}
		m.Routings[i] = &r
	}
	sortMesh(m)
	return m
}

// BenchmarkAllProblems asks for the Problems of all classes that there should be,
// of which no proxy is connected here: of a new mesh, then after one endpoint, and
// after one routing, is another one.
func BenchmarkAllProblems(b *testing.B) {
	m := classy()
	b.Run("Cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			snapshot.Build(m, nil).AllProblems()
		}
	})
	after := func(name string, other *model.Mesh) {
		b.Run(name, func(b *testing.B) {
			now, next := m, other
			s := snapshot.Build(now, nil)
			s.AllProblems()
			b.ReportAllocs()
			for b.Loop() {
				now, next = next, now
				s = snapshot.Build(now, s)
				s.AllProblems()
			}
		})
	}
	after("OneEndpoint", withoutOne(m, 500))
	other := *m
	other.Routings = append([]*model.Routing{}, m.Routings...)
	changed := *m.Routings[500]
	changed.HTTP = []model.HTTPRule{{Name: "another", Destinations: changed.HTTP[0].Destinations}}
	other.Routings[500] = &changed
	after("OneRouting", &other)
}
