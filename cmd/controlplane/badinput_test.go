// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Bounds on what one bad object may cost, far above what it does: of memory that
// stays in use, and of time until what is applied after it is in force.
const (
	mostHeap = 512 << 20
	mostTime = 25 * time.Second
)

// TestBadInputIsBounded applies objects that are malformed, oversized, deeply
// nested, or that make huge programs, to an API server without the webhook. After each of
// them the mesh goes on: what is applied next is soon in force, nothing grows
// without bound, and neither the control plane nor the proxy ends.
func TestBadInputIsBounded(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "bounded"
	p := cp.namespaceWithClient(t, ns, "10.1.0.3")
	t.Cleanup(func() { cp.clear(ns) })
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: marker, namespace: %s}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}`, ns))
	before := heap()
	for name, c := range map[string]struct {
		kind, spec string
		// says is how its condition begins; empty where the object may be so, or
		// Envoy overlooks what is wrong.
		says string
	}{
		"BigVirtualService":     {"VirtualService", `{hosts: [big], http: [` + repeat(5200, `{match: [{uri: {prefix: /%[1]d/`+strings.Repeat("x", 200)+`}}], route: [{destination: {host: marker}}]}`) + `]}`, ""},
		"ManyRegexes":           {"VirtualService", `{hosts: [regexes], http: [` + repeat(600, `{match: [{uri: {regex: "/%[1]d/(a|b|c){200}[a-z]{300}"}}], route: [{destination: {host: marker}}]}`) + `]}`, ""},
		"RegexBombs":            {"VirtualService", `{hosts: [bombs], http: [` + repeat(300, `{match: [{uri: {regex: "((((a{1,50}){1,50}){1,50}){1,50}){1,%[1]d}"}}], route: [{destination: {host: marker}}]}`) + `]}`, "False Invalid"},
		"LongRegex":             {"VirtualService", `{hosts: [long], http: [{match: [{uri: {regex: "` + strings.Repeat("(a|b)*", 100_000) + `"}}], route: [{destination: {host: marker}}]}]}`, "False Invalid"},
		"ManyHosts":             {"VirtualService", `{hosts: [` + repeat(40_000, `h%d.example.com`) + `], http: [{route: [{destination: {host: marker}}]}]}`, ""},
		"BigDirectResponse":     {"VirtualService", `{hosts: [reply], http: [{directResponse: {status: 200, body: {string: "` + strings.Repeat("y", 1<<20) + `"}}}]}`, ""},
		"NestedValue":           {"EnvoyFilter", filterOf("CLUSTER", strings.Repeat(`{"a": `, 900)+"1"+strings.Repeat("}", 900)), "False"},
		"NestedDeeply":          {"EnvoyFilter", filterOf("CLUSTER", strings.Repeat(`{"a": [`, 2000)+"1"+strings.Repeat("]}", 2000)), "False"},
		"AnyOfNoType":           {"EnvoyFilter", filterOf("HTTP_FILTER", `{"name": x, "typed_config": {"@type": "type.googleapis.com/no.such.Type", "a": 1}}`), "False Invalid"},
		"AnyOfNumber":           {"EnvoyFilter", filterOf("HTTP_FILTER", `{"name": x, "typed_config": {"@type": 7}}`), "False Invalid"},
		"AnyWithoutType":        {"EnvoyFilter", filterOf("HTTP_FILTER", `{"name": x, "typed_config": {"a": 1}}`), "False Invalid"},
		"AnyOfAny":              {"EnvoyFilter", filterOf("HTTP_FILTER", `{"name": x, "typed_config": `+strings.Repeat(`{"@type": "type.googleapis.com/google.protobuf.Any", "value": `, 200)+`{"@type": "type.googleapis.com/google.protobuf.Empty"}`+strings.Repeat("}", 200)+`}`), "False"},
		"TypedStructOfNonsense": {"EnvoyFilter", filterOf("HTTP_FILTER", `{"name": x, "typed_config": {"@type": "type.googleapis.com/udpa.type.v1.TypedStruct", "type_url": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua", "value": {"no": {"such": field}}}}`), ""},
		"WrongTypes":            {"EnvoyFilter", filterOf("LISTENER", `{"name": [1, {}], "address": "x", "filter_chains": {"a": null}}`), "False Invalid"},
		"BigFilter":             {"EnvoyFilter", `{configPatches: [` + repeat(1500, `{applyTo: HTTP_ROUTE, match: {routeConfiguration: {vhost: {name: "v%d:80"}}}, patch: {operation: ADD, value: {name: a, match: {prefix: /}, direct_response: {status: 200}}}}`) + `]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			object := strings.ToLower(name)
			version := map[bool]string{true: "v1alpha3", false: "v1"}[c.kind == "EnvoyFilter"]
			u := &unstructured.Unstructured{}
			text := fmt.Sprintf("{apiVersion: networking.istio.io/%s, kind: %s, metadata: {name: %s, namespace: %s}, spec: %s}", version, c.kind, object, ns, c.spec)
			if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
				t.Fatal(err)
			}
			// Created, as server-side apply would keep a copy of each field's name in it.
			api, _ := cp.object(t, c.kind, ns+"/"+object)
			defer cp.remove(t, c.kind, ns+"/"+object)
			if _, err := api.Create(t.Context(), u, createOptions); err != nil {
				t.Logf("the API server refuses it: %.200v", err) // which is as good
			} else if c.says != "" {
				cp.says(t, c.kind, ns+"/"+object, c.says)
			}
			start := time.Now()
			cp.apply(t, fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: marker, namespace: %s}, spec: {hosts: [marker], http: [{headers: {request: {set: {x-marker: after-%s}}}, route: [{destination: {host: marker}}]}]}}`, ns, object))
			p.has(t, true, "after-"+object)
			took := time.Since(start)
			grown := max(0, heap()-before)
			t.Logf("%d KB of %s: in force after %v, the heap is %d MB larger", len(text)>>10, c.kind, took, grown>>20)
			if took > mostTime || grown > mostHeap {
				t.Errorf("that is too much")
			}
			cp.alive(t)
			select {
			case <-p.ended:
				t.Fatal("Envoy has ended: ", p.said())
			default:
			}
		})
	}
}

// heap in use, after what is unused was collected.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // it is no petabyte
}

// repeat a format with each number, as a list.
func repeat(n int, format string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(out, ", ")
}

func filterOf(applyTo, value string) string {
	return fmt.Sprintf(`{configPatches: [{applyTo: %s, patch: {operation: %s, value: %s}}]}`, applyTo, map[bool]string{true: "INSERT_FIRST", false: "MERGE"}[applyTo == "HTTP_FILTER"], value)
}
