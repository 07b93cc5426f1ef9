// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"slices"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// proxies is how many sidecars ask each snapshot in the benchmarks.
const proxies = 400

func ask(s *snapshot.Snapshot, m *model.Mesh) {
	for _, w := range m.Workloads[:proxies] {
		s.View(proxy(w))
	}
}

// BenchmarkCold translates a mesh of 1,000 services with 4 endpoints each for
// 400 sidecars, from nothing.
func BenchmarkCold(b *testing.B) {
	m := world(1000, 4)
	b.ReportAllocs()
	for b.Loop() {
		ask(snapshot.Build(m, nil), m)
	}
}

// BenchmarkOneEndpointChange does it again after one endpoint has gone or come back.
func BenchmarkOneEndpointChange(b *testing.B) {
	m := world(1000, 4)
	less := withoutOne(m, 500)
	s := snapshot.Build(m, nil)
	ask(s, m)
	b.ReportAllocs()
	for b.Loop() {
		s = snapshot.Build(less, s)
		ask(s, m)
		m, less = less, m
	}
}

// BenchmarkOneEndpointChangeConfigured does it with a routing and a policy with
// a subset on every service, a Sidecar in every namespace and a policy of its own
// in every second one.
func BenchmarkOneEndpointChangeConfigured(b *testing.B) {
	m := configured(world(1000, 4))
	less := withoutOne(m, 500)
	s := snapshot.Build(m, nil)
	ask(s, m)
	b.ReportAllocs()
	for b.Loop() {
		s = snapshot.Build(less, s)
		ask(s, m)
		m, less = less, m
	}
}

// BenchmarkOneRoutingChangeConfigured changes one routing of them.
func BenchmarkOneRoutingChangeConfigured(b *testing.B) {
	m := configured(world(1000, 4))
	other := *m
	other.Routings = slices.Clone(m.Routings)
	changed := *m.Routings[500]
	changed.Visible = model.Visibility{Limited: true, Namespaces: []string{"ns3"}}
	other.Routings[500] = &changed
	now, next := m, &other
	s := snapshot.Build(m, nil)
	ask(s, m)
	b.ReportAllocs()
	for b.Loop() {
		s = snapshot.Build(next, s)
		ask(s, m)
		now, next = next, now
	}
}

func configured(m *model.Mesh) *model.Mesh {
	for i, st := range m.Services {
		svc := st.Service
		origin := model.Origin{Kind: "x", Namespace: svc.Namespace, Name: svc.Name}
		p := &model.DestinationPolicy{Origin: origin, Host: string(svc.Hostname), Subsets: []model.Subset{{Name: "all"}}}
		m.Policies = append(m.Policies, p)
		m.Routings = append(m.Routings, &model.Routing{
			Origin: origin, Hosts: []string{string(svc.Hostname)}, Gateways: []model.GatewayRef{model.Sidecars},
			HTTP: []model.HTTPRule{{Destinations: []model.Destination{{Host: svc.Hostname, Subset: "all", Weight: 1}}}},
		})
		if i < 10 {
			m.Scopes = append(m.Scopes, &model.Scope{
				Origin: origin, Egress: []model.Egress{{Hosts: []model.ListenerHost{{Namespace: "*", Host: "*"}}}},
			})
		}
		if i < 10 && i%2 == 0 {
			own := *p
			own.Host, own.Subsets = "*.cluster.local", nil
			m.Policies = append(m.Policies, &own)
		}
	}
	return m
}
