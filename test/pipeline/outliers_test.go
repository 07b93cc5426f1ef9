// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
)

// quick ejection: failures are looked at as they come, and it is over soon.
const quick = "interval: 0.1s, baseEjectionTime: 1s"

// TestOutliers: endpoints that fail get no more calls, and get them again later.
func TestOutliers(t *testing.T) {
	y := newYard(t, "a", "b", "c", "d")
	all := []string{"10.244.1.1:8080", "10.244.1.2:8080", "10.244.1.3:8080", "10.244.1.4:8080"}
	var lines, objects strings.Builder
	for i, c := range []struct{ name, policy string }{
		{"errors", "{consecutive5xxErrors: 3, " + quick + ", maxEjectionPercent: 100}"},
		{"gateway", "{consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, " + quick + ", maxEjectionPercent: 100}"},
		{"unreached", "{consecutive5xxErrors: 0, splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2, " + quick + ", maxEjectionPercent: 100}"},
		{"codes", "{consecutive5xxErrors: 2, outlierDetectionHttpErrorCodes: [429], " + quick + ", maxEjectionPercent: 100}"},
		{"half", "{consecutive5xxErrors: 1, interval: 0.1s, baseEjectionTime: 300s, maxEjectionPercent: 50}"},
		{"panic", "{consecutive5xxErrors: 1, interval: 0.1s, baseEjectionTime: 300s, maxEjectionPercent: 50, minHealthPercent: 60}"},
	} {
		lines.WriteString(service(c.name, i+1, "80/HTTP", all...))
		objects.WriteString(rule(c.name, "{outlierDetection: "+c.policy+"}"))
	}
	y.push(lines.String(), objects.String())
	ejected := func(service string, n int) func() bool {
		return func() bool {
			y.get(service)
			return y.stat(service, "outlier_detection.ejections_active") == n
		}
	}
	reset := func(pods ...string) {
		for _, p := range pods {
			y.pods[p].answers(nil)
		}
	}
	t.Run("Consecutive5xx", func(t *testing.T) {
		y.pods["a"].answers(status(500))
		until(t, "a is ejected", ejected("errors", 1))
		if n := y.stat("errors", "outlier_detection.ejections_enforced_consecutive_5xx"); n == 0 {
			t.Error("it was not for its errors")
		}
		reset("a")
		until(t, "a is back", ejected("errors", 0))
		y.among(t, "errors", "a", "b", "c", "d")
	})
	t.Run("GatewayErrors", func(t *testing.T) {
		y.pods["a"].answers(status(500))
		y.pods["b"].answers(status(502))
		until(t, "b is ejected", ejected("gateway", 1))
		if n := y.stat("gateway", "outlier_detection.ejections_enforced_consecutive_gateway_failure"); n == 0 {
			t.Error("it was not for its errors")
		}
		// Many more errors that are no gateway's.
		for range 40 {
			y.get("gateway")
		}
		if n := y.stat("gateway", "outlier_detection.ejections_enforced_consecutive_5xx"); n != 0 {
			t.Errorf("%d ejections for errors that don't count", n)
		}
		reset("a", "b")
		until(t, "b is back", ejected("gateway", 0))
	})
	t.Run("Unreached", func(t *testing.T) {
		y.pods["c"].stop()
		y.pods["d"].answers(status(503))
		until(t, "c is ejected", ejected("unreached", 1))
		if n := y.stat("unreached", "outlier_detection.ejections_enforced_consecutive_local_origin_failure"); n == 0 {
			t.Error("it was not for being unreached")
		}
		y.pods["c"].start()
		reset("d")
		until(t, "c is back", ejected("unreached", 0))
		y.among(t, "unreached", "a", "b", "c", "d")
	})
	t.Run("ErrorCodes", func(t *testing.T) {
		y.pods["a"].answers(status(429))
		until(t, "a is ejected", ejected("codes", 1))
		reset("a")
		until(t, "a is back", ejected("codes", 0))
	})
	for _, p := range []string{"a", "b", "c"} {
		y.pods[p].answers(status(500))
	}
	t.Run("MaxEjectionPercent", func(t *testing.T) {
		until(t, "half are ejected", ejected("half", 2))
		for range 100 {
			y.get("half")
		}
		if n := y.stat("half", "outlier_detection.ejections_active"); n != 2 {
			t.Errorf("%d of 4 are ejected, want no more than half", n)
		}
		until(t, "the good one and one that is left in answer", func() bool {
			seen := y.seen("half", 40)
			return len(seen) == 2 && seen["d"]
		})
	})
	t.Run("MinHealthPercent", func(t *testing.T) {
		until(t, "half are ejected", ejected("panic", 2))
		// Less than 60 % are well, so all are called.
		y.among(t, "panic", "a", "b", "c", "d")
		if n := y.stat("panic", "lb_healthy_panic"); n == 0 {
			t.Error("it was not for the share of those that are well")
		}
	})
	t.Run("NoMinHealth", func(t *testing.T) {
		y.pods["d"].answers(status(500))
		y.push(lines.String(), strings.Replace(objects.String(), fmt.Sprintf("%s, maxEjectionPercent: 100", quick), "interval: 0.1s, baseEjectionTime: 300s, maxEjectionPercent: 100", 1))
		until(t, "all are ejected", ejected("errors", 4))
		until(t, "nobody answers", func() bool { return y.get("errors").status == 503 })
	})
}
