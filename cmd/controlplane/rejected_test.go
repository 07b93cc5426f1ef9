// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"testing"
	"time"
)

// TestABadFilterCostsOnlyItself: a filter that only Envoy can refuse is in every
// listener, and yet what changes after it is in force at once, listeners
// too. Its status has what Envoy says, and is fine again when it is mended.
func TestABadFilterCostsOnlyItself(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "rejected"
	p := cp.namespaceWithClient(t, ns, "10.1.0.1")
	p.has(t, true, "virtualInbound")
	cp.apply(t, luaFilter(ns, "good", "local good = 1"))
	p.has(t, true, "local good = 1")

	cp.apply(t, luaFilter(ns, "bad", "this is no Lua"))
	cp.says(t, "EnvoyFilter", ns+"/bad", "False RejectedByProxy: ", "pod "+ns+"/client rejects Listener", "script load error", "spec.configPatches[0].patch.value", "mend it")
	// A listener, a cluster and routes, all of them after it.
	start := time.Now()
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: later, namespace: %[1]s}, spec: {clusterIP: None, ports: [{name: tcp, port: 7070}, {name: http, port: 7080}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: later, namespace: %[1]s}, spec: {hosts: [later], http: [{headers: {request: {set: {x-later: "yes"}}}, route: [{destination: {host: later, port: {number: 7080}}}]}]}}
`, ns))
	p.has(t, true, "x-later")
	p.has(t, true, "0.0.0.0_7080")
	took := time.Since(start)
	t.Logf("a service and its routing were in force after %v", took)
	// Two seconds are promised where there are processors to be had.
	if took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	// What guards the workload comes through too.
	cp.apply(t, fmt.Sprintf(`{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: %s}, spec: {action: DENY, rules: [{to: [{operation: {paths: [/forbidden-here]}}]}]}}`, ns))
	p.has(t, true, "/forbidden-here")
	p.has(t, true, "local good = 1")
	cp.says(t, "EnvoyFilter", ns+"/bad", "False RejectedByProxy: ")
	if c := cp.condition(t, "EnvoyFilter", ns+"/good"); c != "" {
		t.Errorf("the good filter has a condition: %s", c)
	}

	t.Run("Mended", func(t *testing.T) {
		cp.apply(t, luaFilter(ns, "bad", "local mended = 1"))
		p.has(t, true, "local mended = 1")
		cp.says(t, "EnvoyFilter", ns+"/bad", "True Reconciled")
	})
	t.Run("SpoiltItStaysAsItWas", func(t *testing.T) {
		cp.apply(t, luaFilter(ns, "bad", "spoilt again"))
		cp.says(t, "EnvoyFilter", ns+"/bad", "False RejectedByProxy: ", "stays there as it was before the change")
		cp.apply(t, fmt.Sprintf(`{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: %s}, spec: {action: DENY, rules: [{to: [{operation: {paths: [/forbidden-too]}}]}]}}`, ns))
		p.has(t, true, "/forbidden-too")
		p.has(t, true, "local mended = 1")
	})
	t.Run("Removed", func(t *testing.T) {
		cp.remove(t, "EnvoyFilter", ns+"/bad")
		p.has(t, false, "local mended = 1")
		p.has(t, true, "local good = 1")
	})
	cp.alive(t)
}

// luaFilter runs a script on all that comes in and goes out.
func luaFilter(namespace, name, script string) string {
	return fmt.Sprintf(`{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: %s, namespace: %s}, spec: {configPatches: [
  {applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}, patch: {operation: INSERT_FIRST, value: {
    name: %[1]s, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: {inline_string: %[3]q}}}}}]}}
`, name, namespace, script)
}
