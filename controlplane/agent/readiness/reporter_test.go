// SPDX-License-Identifier: Apache-2.0

package readiness_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/readiness"
)

// TestReporterTriesAgain: nothing is tried before there is something to tell; then, as long
// as it fails, it is tried again with pauses that grow, and a part of each is by chance.
func TestReporterTriesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		random float64
		want   []time.Duration
	}{
		"Longest":  {1, []time.Duration{5, 6, 8, 12, 20, 36, 66, 96}},
		"Shortest": {0, []time.Duration{5, 6, 7, 9, 13, 21, 36, 51}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var tried []time.Duration
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r := readiness.NewReporter()
				r.Clock, r.Random = clock.RealClock{}, func() float64 { return c.random }
				// A certificate that can't be used, so that it never comes to a connection.
				r.Leaf = func() *csr.Leaf {
					// By whole seconds: the first pause may be half of one.
					if tried = append(tried, time.Since(began).Round(time.Second)/time.Second); len(tried) == len(c.want) {
						cancel()
					}
					return &csr.Leaf{}
				}
				time.AfterFunc(5*time.Second, func() {
					for range 3 {
						r.Tell(readiness.State{Ready: true}) // never blocks
					}
				})
				r.Run(ctx)
				if d := cmp.Diff(c.want, tried); d != "" {
					t.Errorf("tried after seconds (-want +got):\n%s", d)
				}
			})
		})
	}
}
