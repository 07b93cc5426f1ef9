// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// soon is how fast others must answer when the near ones can't.
const soon = 5 * time.Second

// TestRecovery: others answer within five seconds when the endpoints of a place
// fail, or are no more, and the near ones answer again when they can.
func TestRecovery(t *testing.T) {
	y := newYard(t, "near", "zone", "region")
	const (
		near   = "endpoint shop/%s:80 10.244.1.1:8080 plain zone=eu/eu-1 labels=stage=one,version=v1\n"
		zone   = "endpoint shop/%s:80 10.244.1.2:8080 plain zone=eu/eu-2 labels=stage=one,version=v2\n"
		region = "endpoint shop/%s:80 10.244.1.3:8080 plain zone=us/us-1 labels=stage=two,version=v1\n"
	)
	lines := func(endpoints string) string {
		var out strings.Builder
		for i, name := range []string{"places", "labels", "elsewhere"} {
			out.WriteString(service(name, i+1, "80/HTTP"))
			out.WriteString(strings.ReplaceAll(endpoints, "%s", name))
		}
		return out.String()
	}
	const outliers = "outlierDetection: {consecutive5xxErrors: 1, interval: 0.1s, baseEjectionTime: 3s, maxEjectionPercent: 100}"
	objects := rule("places", "{"+outliers+"}") +
		rule("labels", "{"+outliers+", loadBalancer: {localityLbSetting: {failoverPriority: [stage, version]}}}") +
		rule("elsewhere", "{"+outliers+", loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}}")
	y.push(lines(near+zone+region), objects)
	within := func(t *testing.T, service, pod string) {
		t.Helper()
		began := time.Now()
		// How long the calls take that show it is the machine's affair.
		if took := y.among(t, service, pod).Sub(began); took > soon {
			t.Errorf("it took %v until %s answered", took, pod)
		}
	}
	for _, name := range []string{"places", "labels", "elsewhere"} {
		t.Run(name+"/Fail", func(t *testing.T) {
			y.among(t, name, "near")
			y.pods["near"].answers(status(500))
			defer y.pods["near"].answers(nil)
			within(t, name, "zone")
			y.pods["zone"].stop()
			defer y.pods["zone"].start()
			within(t, name, "region")
		})
		t.Run(name+"/Back", func(t *testing.T) { y.among(t, name, "near") })
	}
	for _, step := range []struct{ name, endpoints, pod string }{
		{"NearGone", zone + region, "zone"}, {"ZoneGone", region, "region"}, {"ZoneBack", zone + region, "zone"}, {"AllBack", near + zone + region, "near"},
	} {
		t.Run(step.name, func(t *testing.T) {
			y.push(lines(step.endpoints), objects)
			for _, name := range []string{"places", "labels", "elsewhere"} {
				within(t, name, step.pod)
			}
		})
	}
}

// TestRecoveryAcrossMembers: the pods of another network answer within five
// seconds when a member's own fail, or are no more.
func TestRecoveryAcrossMembers(t *testing.T) {
	f := newFederation(t, "HTTP")
	own := newServer(f.fabric.Pod("shop", "own", "10.244.1.9"), 8080)
	const objects = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 1, consecutiveGatewayErrors: 1, interval: 0.1s, baseEjectionTime: 3s, maxEjectionPercent: 100}
`
	var s *snapshot.Snapshot
	push := func(t *testing.T, endpoint string) {
		t.Helper()
		m := meshOf(t, map[string][]byte{"mesh": []byte(fmt.Sprintf(west, "HTTP") + endpoint), "objects.yaml": []byte(objects)})
		if s != nil {
			m.Settings = f.settings
		}
		f.settings = m.Settings
		s = snapshot.Build(m, s)
		f.client.Push(s)
	}
	const here = "endpoint shop/reviews:80 10.244.1.9:8080 plain\n"
	c := client(f.caller)
	among := func(t *testing.T, pod string, limit time.Duration) {
		t.Helper()
		began := time.Now()
		var since time.Time
		until(t, pod+" answers", func() bool {
			since = time.Now()
			for range 20 {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://240.240.0.7:80/", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "reviews"
				resp, err := c.Do(r)
				if err != nil {
					return false
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK || (resp.Header.Get("X-Pod") == "own") != (pod == "own") {
					return false
				}
			}
			return true
		})
		if took := since.Sub(began); took > limit {
			t.Errorf("it took %v until %s answered", took, pod)
		}
	}
	push(t, here)
	t.Run("Own", func(t *testing.T) { among(t, "own", eventually) })
	t.Run("OwnFails", func(t *testing.T) { own.answers(status(500)); among(t, "another member", soon) })
	t.Run("OwnIsWell", func(t *testing.T) { own.answers(nil); among(t, "own", eventually) })
	t.Run("OwnUnreached", func(t *testing.T) { own.stop(); among(t, "another member", soon) })
	t.Run("OwnReached", func(t *testing.T) { own.start(); among(t, "own", eventually) })
	t.Run("OwnGone", func(t *testing.T) { push(t, ""); among(t, "another member", soon) })
	t.Run("OwnBack", func(t *testing.T) { push(t, here); among(t, "own", soon) })
}
