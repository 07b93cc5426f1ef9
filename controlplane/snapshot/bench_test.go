// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
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
