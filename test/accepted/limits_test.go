// SPDX-License-Identifier: Apache-2.0

package accepted_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	security "istio.io/api/security/v1beta1"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/test/generate"
)

// drawnRules are what rules of a RateLimitPolicy have in common with those of an AuthorizationPolicy.
var drawnRules = generate.Spec(&security.AuthorizationPolicy{})

// limitsTogether are in force in each round.
const limitsTogether = 2

// limits are the spec of a RateLimitPolicy, many of whose values are wrong.
func limits(like proto.Message) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		one := func(name string, of ...any) any { return rapid.SampledFrom(of).Draw(t, name) }
		maybe := func(m map[string]any, field string, of ...any) {
			if rapid.Bool().Draw(t, "has "+field) {
				m[field] = one(field, of...)
			}
		}
		drawn := struct{ Rules []map[string]any }{}
		if text, err := protojson.Marshal(like); err == nil {
			_ = json.Unmarshal(text, &drawn)
		}
		spec := map[string]any{}
		maybe(spec, "mode", "Enforce", "Shadow", "")
		maybe(spec, "selector", map[string]any{"matchLabels": map[string]any{"app": "reviews"}}, map[string]any{"matchLabels": map[string]any{"istio": "ingressgateway"}})
		maybe(spec, "targetRefs", []any{map[string]any{"kind": "Service", "name": "reviews"}}, []any{map[string]any{"kind": "Gateway", "group": "gateway.networking.k8s.io", "name": "front"}})
		if rapid.Bool().Draw(t, "mesh") {
			service := map[string]any{"host": one("host", "reviews.shop.svc.cluster.local", "gone.shop.svc.cluster.local", "1.2.3.4", "ä"), "port": one("port", 9080, 1, 65535)}
			maybe(service, "domain", "d", "a b", "ä|", "")
			maybe(service, "failureMode", "Allow", "Deny")
			maybe(service, "timeout", "1ms", "10s", "0.5s", "1h")
			spec["scope"], spec["service"] = "Mesh", service
		} else {
			maybe(spec, "maxCounters", 1, 1000000, 0)
		}
		if rapid.Bool().Draw(t, "response") {
			response := map[string]any{}
			maybe(response, "status", 400, 418, 429, 451, 511, 599, 200)
			maybe(response, "rateLimitHeaders", "None", "DraftVersion03")
			header := func(i int) any {
				return map[string]any{
					"name":  one(fmt.Sprint("name", i), "x-a", "X-B", "a b", ":status", "host", "content-length", "x-envoy-a", "%", "set-cookie", "connection", "Content-Type", "'", ""),
					"value": one(fmt.Sprint("value", i), "x", "100%", "%REQ(:path)%", "%%", "ä\u0001", "", "\t", "a\nb"),
				}
			}
			response["headers"] = []any{header(0), header(1)}
			spec["response"] = response
		}
		var rules []any
		for i := range rapid.IntRange(0, 4).Draw(t, "rules") {
			rule := map[string]any{"name": one("rule", "a", "b", "c-1", "A")}
			if i < len(drawn.Rules) {
				for field, value := range drawn.Rules[i] {
					rule[field] = value
				}
			}
			limit := map[string]any{"requests": one("requests", 1, 100, 1000000000, 0), "per": one("per", "Second", "Minute", "Hour", "Day", "Week")}
			maybe(limit, "burst", 1, 1000000000, 0)
			rule["limit"] = limit
			var keys []any
			for j := range rapid.IntRange(0, 3).Draw(t, "keys") {
				keys = append(keys, one(fmt.Sprint("key", j), "source.principal", "remote.ip", "request.path", "request.method", "request.host", "request.headers[X-A]", "request.headers['\\]",
					"request.headers[']", "request.headers[:path]", "request.auth.claims[a]", "request.auth.claims[ä'\\][b]", "request.auth.claims[]", "request.body"))
			}
			if keys != nil {
				rule["keys"] = keys
			}
			rules = append(rules, rule)
		}
		spec["rules"] = rules
		return spec
	})
}

// limitPolicy as JSON.
func limitPolicy(t *testing.T, n, seed int) string {
	t.Helper()
	whole, err := json.Marshal(map[string]any{
		"apiVersion": "policy.isthmesh.dev/v1alpha1", "kind": "RateLimitPolicy", "spec": limits(drawnRules.Example(seed)).Example(seed),
		"metadata": map[string]any{"namespace": namespaces[n%len(namespaces)], "name": fmt.Sprintf("limits-%d", n)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(whole)
}
