// SPDX-License-Identifier: Apache-2.0

package decisions_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seenFormat has the fields that docs/policies.md says.
const seenFormat = `
    accessLogEncoding: JSON
    accessLogFormat: |
      {
        "path": "%REQ(:PATH)%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "termination": "%CONNECTION_TERMINATION_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "rule": "%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%",
        "audit": "%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_audit_shadow_effective_policy_id)%",
        "hint": "%DYNAMIC_METADATA(envoy.common:access_log_hint)%",
        "trial_deny": "%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_deny_shadow_effective_policy_id)%",
        "trial_deny_result": "%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_deny_shadow_engine_result)%",
        "trial_allow": "%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_allow_shadow_effective_policy_id)%",
        "trial_allow_result": "%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_allow_shadow_engine_result)%",
        "tcp_audit": "%DYNAMIC_METADATA(envoy.filters.network.rbac:istio_audit_shadow_effective_policy_id)%"
      }
`

const seenPolicies = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec: {rules: [{to: [{operation: {paths: [/open*, /admin*, /audit*, /trial*]}}]}, {to: [{operation: {ports: ["7070"]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {methods: [DELETE], ports: ["8080"]}}]}, {to: [{operation: {paths: [/admin*], ports: ["8080"]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-robots, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {principals: [east.example/ns/shop/sa/robot]}}], to: [{operation: {ports: ["7070"]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial-deny, namespace: shop, annotations: {istio.io/dry-run: "true"}}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/trial/no], ports: ["8080"]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial-allow, namespace: shop, annotations: {istio.io/dry-run: "true"}}
spec: {rules: [{to: [{operation: {paths: [/trial/yes]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: watch, namespace: shop}
spec: {action: AUDIT, rules: [{to: [{operation: {paths: [/audit*], ports: ["8080"]}}]}, {from: [{source: {principals: [east.example/ns/shop/sa/storefront]}}], to: [{operation: {ports: ["7070"]}}]}]}
`

// TestSeen: of each call its access log says which rule decided, which would
// have, and which watched; the statistics count the same.
func TestSeen(t *testing.T) {
	w := newShop(t)
	w.apply(t, "[]"+seenFormat, seenPolicies)
	const trialPasses = "trial_deny_result=allowed"
	for _, test := range []struct {
		order
		status int
		want   string
	}{
		{order{path: "/open"}, 200, "details=via_upstream hint=false rule=ns[shop]-policy[readers]-rule[0] trial_allow_result=denied " + trialPasses},
		{order{path: "/admin"}, 403, "details=rbac_access_denied_matched_policy[ns[shop]-policy[no-admin]-rule[1]] hint=false rule=ns[shop]-policy[no-admin]-rule[1] " + trialPasses},
		{order{path: "/open/x", method: "DELETE"}, 403, "details=rbac_access_denied_matched_policy[ns[shop]-policy[no-admin]-rule[0]] hint=false rule=ns[shop]-policy[no-admin]-rule[0] " + trialPasses},
		{order{path: "/none"}, 403, "details=rbac_access_denied_matched_policy[none] hint=false trial_allow_result=denied " + trialPasses},
		{order{path: "/trial/no"}, 200, "details=via_upstream hint=false rule=ns[shop]-policy[readers]-rule[0] trial_allow_result=denied trial_deny=ns[shop]-policy[trial-deny]-rule[0] trial_deny_result=denied"},
		{order{path: "/trial/yes"}, 200, "details=via_upstream hint=false rule=ns[shop]-policy[readers]-rule[0] trial_allow=ns[shop]-policy[trial-allow]-rule[0] trial_allow_result=allowed " + trialPasses},
		{order{path: "/audit"}, 200, "audit=ns[shop]-policy[watch]-rule[0] details=via_upstream hint=true rule=ns[shop]-policy[readers]-rule[0] trial_allow_result=denied " + trialPasses},
	} {
		t.Run(strings.Trim(test.path, "/"), func(t *testing.T) {
			if got := w.call(t, test.order).status; got != test.status {
				t.Errorf("answered %d, want %d", got, test.status)
			}
			if d := cmp.Diff(test.want, w.logged(t, "path", test.path)); d != "" {
				t.Errorf("log (-want +got):\n%s", d)
			}
		})
	}
	t.Run("TCP", func(t *testing.T) {
		if !w.converse(t, "storefront") || w.converse(t, "robot") {
			t.Error("the wrong ones were let in")
		}
		w.logged(t, "tcp_audit", "ns[shop]-policy[watch]-rule[1]")
		w.logged(t, "termination", "rbac_access_denied_matched_policy[ns[shop]-policy[no-robots]-rule[0]]")
	})
	t.Run("Statistics", func(t *testing.T) {
		for name, want := range map[string]int{
			"http.inbound|8080||.rbac.denied":                              3,
			"http.inbound|8080||.rbac.istio_audit_.shadow_allowed":         1,
			"http.inbound|8080||.rbac.istio_dry_run_deny_.shadow_denied":   1,
			"http.inbound|8080||.rbac.istio_dry_run_allow_.shadow_allowed": 1,
			"http.inbound|8080||.rbac.istio_dry_run_allow_.shadow_denied":  4,
			"tcp.rbac.denied":                      1,
			"tcp.rbac.istio_audit_.shadow_allowed": 1,
		} {
			if got := w.proxy.Stat(name); got != want {
				t.Errorf("%s is %d, want %d", name, got, want)
			}
		}
	})
}

// logged is what the access log has of the call of which a field has a value:
// its fields that say something, without the one that it was found by.
func (w *shop) logged(t *testing.T, field, value string) string {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		text, _ := os.ReadFile(w.log)
		for line := range strings.Lines(string(text)) {
			fields := map[string]any{}
			if json.Unmarshal([]byte(line), &fields) != nil || fields[field] != value {
				continue
			}
			var out []string
			for _, name := range slices.Sorted(maps.Keys(fields)) {
				if v := fmt.Sprint(fields[name]); name != field && fields[name] != nil && v != "-" && v != "" {
					out = append(out, name+"="+v)
				}
			}
			return strings.Join(out, " ")
		}
		if time.Now().After(end) {
			t.Fatalf("no call with %s %q in\n%s", field, value, text)
		}
	}
}
