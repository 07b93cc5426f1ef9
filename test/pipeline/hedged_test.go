// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// hedging of a service's requests: Istio's API has it in an EnvoyFilter only.
const hedging = `---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: hedging, namespace: shop}
spec:
  configPatches:
  - applyTo: HTTP_ROUTE
    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: "hedged.shop.svc.cluster.local:80"}}}
    patch: {operation: MERGE, value: {route: {hedge_policy: {hedge_on_per_try_timeout: true}}}}
`

// TestHedged: a try that takes too long isn't given up for the next one: whichever
// answers first answers the request, and the other is cancelled.
func TestHedged(t *testing.T) {
	y := newYard(t, "near")
	a := y.pods["near"]
	const perTry = time.Second
	y.push(
		service("hedged", 1, "80/HTTP", "10.244.1.1:8080")+service("plain", 2, "80/HTTP", "10.244.1.1:8080"),
		routed("hedged", "retries: {attempts: 1, perTryTimeout: 1s, retryOn: gateway-error}")+
			routed("plain", "retries: {attempts: 1, perTryTimeout: 1s, retryOn: gateway-error}")+hedging,
	)
	// The first try answers once there is a second, which says nothing.
	tries := func() (do http.HandlerFunc, n *atomic.Int64, cancelled chan struct{}) {
		n, cancelled = &atomic.Int64{}, make(chan struct{}, 2)
		second := make(chan struct{})
		return func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) > 1 {
				close(second)
				<-r.Context().Done()
				cancelled <- struct{}{}
				return
			}
			select {
			case <-second:
				w.Header().Set("X-Try", "first")
			case <-r.Context().Done():
				<-second
			}
		}, n, cancelled
	}
	t.Run("FirstStillAnswers", func(t *testing.T) {
		do, n, cancelled := tries()
		a.answers(do)
		defer a.answers(nil)
		began := time.Now()
		r := y.get("hedged")
		if took := time.Since(began); r.status != 200 || r.header.Get("X-Try") != "first" || n.Load() != 2 || took < perTry*9/10 {
			t.Errorf("%d %v after %d tries in %v", r.status, r.header, n.Load(), took)
		}
		<-cancelled
	})
	t.Run("Unhedged", func(t *testing.T) {
		do, n, cancelled := tries()
		a.answers(do)
		defer a.answers(nil)
		if r := y.get("plain"); r.status != 504 || n.Load() != 2 {
			t.Errorf("%d %v after %d tries: the first is given up", r.status, r.header, n.Load())
		}
		<-cancelled
	})
}
