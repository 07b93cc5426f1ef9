// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// limits are specs which set, together, every field of a RateLimitPolicy, none of them to its default.
var limits = map[string]string{
	"Pod": `
selector: {matchLabels: {app: reviews}}
mode: Shadow
maxCounters: 5
response: {status: 503, headers: [{name: x-a, value: b}], rateLimitHeaders: DraftVersion03}
rules:
- name: a
  from: [{source: {principals: [a], notPrincipals: [b], requestPrincipals: [c/d], notRequestPrincipals: [e/f], namespaces: [g], notNamespaces: [h], trustDomains: [i], notTrustDomains: [j],
    ipBlocks: [10.0.0.1], notIpBlocks: [10.0.0.2], remoteIpBlocks: [10.0.0.3], notRemoteIpBlocks: [10.0.0.4]}}, {source: {serviceAccounts: [a], notServiceAccounts: [b]}}]
  to: [{operation: {hosts: [a], notHosts: [b], ports: ["1"], notPorts: ["2"], methods: [GET], notMethods: [PUT], paths: [/a], notPaths: [/b]}}]
  when: [{key: source.namespace, values: [a], notValues: [b]}]
  limit: {requests: 5, per: Day, burst: 7}
  keys: [source.principal, "request.headers[a]"]
- {name: b, limit: {requests: 1, per: Hour}}
`,
	"Mesh": `
targetRefs: [{kind: Service, name: reviews, group: core}, {kind: Gateway, group: gateway.networking.k8s.io, name: front}]
scope: Mesh
service: {host: reviews.shop.svc.cluster.local, port: 9000, domain: d, failureMode: Deny, timeout: 7ms}
rules: [{name: a, limit: {requests: 5, per: Day}}]
`,
}

// frontOfLimits is a gateway that serves.
const frontOfLimits = `{apiVersion: v1, kind: Pod, metadata: {name: front-1, namespace: shop, labels: {istio: front, gateway.networking.k8s.io/gateway-name: front}}, spec: {serviceAccountName: front, containers: [{name: istio-proxy}]}, status: {podIPs: [{ip: 10.244.9.9}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: front-of-limits, namespace: shop}, spec: {selector: {istio: front}, servers: [{port: {number: 8088, name: http, protocol: HTTP}, hosts: ["*"]}]}}
`

// TestRateLimitFields takes each field of RateLimitPolicies away: some proxy gets
// another thing, or a Problem names the field or where it is. No field is set nowhere.
func TestRateLimitFields(t *testing.T) {
	seen := map[string]bool{}
	for name, text := range limits {
		t.Run(name, func(t *testing.T) {
			c := newCheck(t, []byte(frontOfLimits))
			with := func(spec map[string]any) outcome {
				data, err := yaml.Marshal(spec)
				if err != nil {
					t.Fatal(err)
				}
				o := &v1alpha1.RateLimitPolicy{}
				if err := yaml.UnmarshalStrict(data, &o.Spec); err != nil {
					t.Fatal(err)
				}
				o.Namespace, o.Name = "shop", "every"
				in := c.in
				in.RateLimitPolicies = []*v1alpha1.RateLimitPolicy{o}
				return c.build(in)
			}
			read := func() (spec map[string]any) {
				if err := yaml.Unmarshal([]byte(text), &spec); err != nil {
					t.Fatal(err)
				}
				return spec
			}
			base := with(read())
			for _, p := range base.problems {
				if p.Kind == "RateLimitPolicy" {
					t.Fatalf("%s: %s", p.Field, p.Message)
				}
			}
			for _, path := range leaves(read(), nil, seen) {
				spec := read()
				drop(spec, path)
				got := with(spec)
				named := slices.ContainsFunc(got.problems, func(p model.Problem) bool {
					return p.Kind == "RateLimitPolicy" && strings.Contains("spec."+strings.Join(path, "."), strings.Split(strings.ReplaceAll(p.Field, "]", ""), "[")[0])
				})
				if maps.Equal(base.resources, got.resources) && !named && !same[strings.Join(path, ".")] {
					t.Errorf("without %v nothing changes, and nothing is told", path)
				}
			}
		})
	}
	var all []string
	everyField(reflect.TypeFor[v1alpha1.RateLimitPolicySpec](), &all)
	for _, field := range all {
		if !seen[field] {
			t.Errorf("nothing here sets %s", field)
		}
	}
}

// same are what an object says anyway.
var same = map[string]bool{"targetRefs.0.group": true}

// leaves of a spec, and what is on the way to them, by their paths.
func leaves(v any, at []string, seen map[string]bool) [][]string {
	var out [][]string
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			seen[k] = true
			next := append(slices.Clone(at), k)
			out = append(append(out, next), leaves(v[k], next, seen)...)
		}
	case []any:
		for i := range v {
			next := append(slices.Clone(at), fmt.Sprint(i))
			out = append(append(out, next), leaves(v[i], next, seen)...)
		}
	}
	return out
}

// drop what is at a path.
func drop(v any, path []string) any {
	switch v := v.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(v, path[0])
		} else {
			v[path[0]] = drop(v[path[0]], path[1:])
		}
		return v
	case []any:
		for i := range v {
			if fmt.Sprint(i) != path[0] {
				continue
			}
			if len(path) == 1 {
				return slices.Delete(v, i, i+1)
			}
			v[i] = drop(v[i], path[1:])
		}
		return v
	}
	return v
}

// everyField of a type of ours, by its name in JSON.
func everyField(of reflect.Type, into *[]string) {
	for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || !strings.HasPrefix(of.PkgPath(), "github.com/isthmesh/") {
		return
	}
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		*into = append(*into, name)
		everyField(of.Field(i).Type, into)
	}
}
