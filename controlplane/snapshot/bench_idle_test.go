// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// spoken is a mesh of n services with a VirtualService and a DestinationRule
// each, on requests, of which every tenth service takes none.
func spoken(n int) *model.Mesh {
	m := configured(world(n, 4))
	for i := range m.Services {
		if i%10 == 1 {
			m.Services[i].Service = ofTCP(m.Services[i].Service)
		}
	}
	m.Policies = slices.Clone(m.Policies)
	for i, p := range m.Policies {
		own := *p
		own.Kind = "DestinationRule"
		own.Policy.Connections = &model.ConnectionPool{MaxConnections: 100, MaxRequests: 100}
		m.Policies[i] = &own
	}
	for i, r := range m.Routings {
		own := *r
		own.Kind = "VirtualService"
		m.Routings[i] = &own
	}
	return m
}

func ofTCP(svc *model.Service) *model.Service {
	out := *svc
	out.Ports = slices.Clone(svc.Ports)
	for i := range out.Ports {
		out.Ports[i].Protocol = model.TCP
	}
	return &out
}

// BenchmarkIdle tells what policies and routings say in vain. Push is what a push
// costs without that, after one routing is another one; Routing, Service and
// Endpoint what it costs on top after such a change, and First in a new mesh.
func BenchmarkIdle(b *testing.B) {
	m := spoken(1000)
	other := *m
	other.Routings = slices.Clone(m.Routings)
	changed := *m.Routings[500]
	changed.HTTP = []model.HTTPRule{{Name: "another", Destinations: changed.HTTP[0].Destinations}}
	other.Routings[500] = &changed
	s := snapshot.Build(m, nil)
	ask(s, m)
	b.Run("Push", func(b *testing.B) {
		last, now, next := s, m, &other
		b.ReportAllocs()
		for b.Loop() {
			last = snapshot.Build(next, last)
			ask(last, m)
			now, next = next, now
		}
	})
	service := *m
	service.Services = slices.Clone(m.Services)
	svc := *m.Services[500].Service
	service.Services[500].Service = &svc
	for name, before := range map[string]*snapshot.Snapshot{
		"First": nil, "Routing": snapshot.Build(&other, nil), "Service": snapshot.Build(&service, nil), "Endpoint": snapshot.Build(withoutOne(m, 500), nil),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.FindIdle(before)
			}
		})
	}
}

// TestIdleIsRemembered: what was found before is found again, whatever changed.
func TestIdleIsRemembered(t *testing.T) {
	m := spoken(60)
	found := func(m *model.Mesh, before *snapshot.Snapshot) []model.Problem {
		return snapshot.Build(m, nil).FindIdle(before)
	}
	all := found(m, nil)
	if len(all) == 0 {
		t.Fatal("nothing is said in vain")
	}
	// A service becomes one of TCP: its routing holds for nothing any more.
	other := *m
	other.Services = slices.Clone(m.Services)
	other.Services[50].Service = ofTCP(m.Services[50].Service)
	// Without the routing its policy on requests doesn't either.
	without := other
	without.Routings = slices.Delete(slices.Clone(other.Routings), 50, 51)
	for name, next := range map[string]*model.Mesh{"Service": &other, "Routing": &without, "Same": m} {
		for _, before := range []*model.Mesh{m, &other, &without} {
			if d := cmp.Diff(found(next, nil), found(next, snapshot.Build(before, nil))); d != "" {
				t.Errorf("%s (-want +got):\n%s", name, d)
			}
		}
	}
	if cmp.Equal(found(&other, nil), all) || cmp.Equal(found(&without, nil), found(&other, nil)) {
		t.Error("the changes make no difference")
	}
}
