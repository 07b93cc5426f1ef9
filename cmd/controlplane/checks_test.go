// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestGatewayCheckFlags: what they make of the settings, or which of them is wrong.
func TestGatewayCheckFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args string
		want *model.GatewayChecks
		err  string
	}{
		"Defaults":  {"", &model.GatewayChecks{IntervalMillis: 2000, TimeoutMillis: 1000, UnhealthyThreshold: 2, HealthyThreshold: 3}, ""},
		"Set":       {"--gateway-check-interval=5s --gateway-check-timeout=300ms --gateway-check-unhealthy-threshold=4 --gateway-check-healthy-threshold=1", &model.GatewayChecks{IntervalMillis: 5000, TimeoutMillis: 300, UnhealthyThreshold: 4, HealthyThreshold: 1}, ""},
		"Off":       {"--gateway-checks=false --gateway-check-interval=0s", nil, ""},
		"Slow":      {"--gateway-check-interval=1s", nil, "--gateway-check-interval 1s must be more than --gateway-check-timeout 1s"},
		"NoTimeout": {"--gateway-check-timeout=0s", nil, "--gateway-check-timeout 0s must be at least 1ms"},
		"NeverOut":  {"--gateway-check-unhealthy-threshold=0", nil, "--gateway-check-unhealthy-threshold must be at least 1"},
		"NeverIn":   {"--gateway-check-healthy-threshold=0", nil, "--gateway-check-healthy-threshold must be at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parse(strings.Fields(test.args), func(string) string { return "" })
			if test.err != "" || err != nil {
				if err == nil || err.Error() != test.err {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if d := cmp.Diff(test.want, o.settings.GatewayChecks); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
