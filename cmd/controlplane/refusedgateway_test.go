// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestABadServerCostsOnlyItself: of a gateway, Istio's or the Gateway API's, only
// the server is set aside that its proxy refuses, or the route. The others are in
// force at once, on the same port too; the server's names are nobody else's; and
// the very field, listener or route has the proxy's words.
func TestABadServerCostsOnlyItself(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "edge"
	cp.pod(t, ns, "gateway", "10.1.1.12", "{istio: spared-edge}", "{name: istio-proxy, image: proxy}")
	cp.pod(t, ns, "api", "10.1.1.13", "{gateway.networking.k8s.io/gateway-name: api}", "{name: istio-proxy, image: proxy}")
	t.Cleanup(func() { cp.clear(ns) })
	server := func(name, host, caller string) string {
		return fmt.Sprintf(`{port: {number: 443, name: %s, protocol: HTTPS}, hosts: ["%s"], tls: {mode: ISTIO_MUTUAL, subjectAltNames: [%s]}}`, name, host, caller)
	}
	gateway := func(name string, servers ...string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: %s, namespace: %s}, spec: {selector: {istio: spared-edge}, servers: [%s]}}`,
			name, ns, strings.Join(servers, ", "))
	}
	api := func(host, header string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: %[1]s}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: api, namespace: %[1]s}, spec: {gatewayClassName: istio, listeners: [
  {name: a, port: 80, protocol: HTTP, hostname: a.example}, {name: b, port: 80, protocol: HTTP, hostname: %[2]s}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: good, namespace: %[1]s}, spec: {parentRefs: [{name: api}], hostnames: [a.example], rules: [
  {filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: good-route}]}}], backendRefs: [{name: shop, port: 80}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: bad, namespace: %[1]s}, spec: {parentRefs: [{name: api}], hostnames: [a.example], rules: [
  {matches: [{path: {value: /bad}}], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: %[3]s}]}}], backendRefs: [{name: shop, port: 80}]}]}}`, ns, host, header)
	}
	own := server("own", "own.example", "of-own")
	cp.apply(t, gateway("first", own))
	edge := cp.pickyOf(t, "router", "gateway", ns, nil)
	edge.inForce(t, "of-own", "")
	n := 0
	for _, c := range []struct {
		name, before, bad string
		has, hasnt        string
		field, says       string
	}{
		{"New", "", gateway("shop", server("a", "a.example", "of-a"), server("b", "b.example", refused)), "of-a", "b.example", "spec.servers[1]", "it is left out for it"},
		{
			"NewBesideAWiderOne", "", gateway("shop", server("a", "*.example", "of-a"), server("b", "b.example", refused)),
			"of-a b.example", "", "spec.servers[1]", "nothing is served there for its hosts",
		},
		{
			"Changed", gateway("shop", server("a", "a.example", "of-a"), server("b", "b.example", "was-fine")),
			gateway("shop", server("a", "a.example", "of-a2"), server("b", "b.example", refused)),
			"of-a2 was-fine", "", "spec.servers[1]", "it stays there as it was before the change",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != "" {
				cp.apply(t, c.before)
				edge.inForce(t, "was-fine", "")
			}
			cp.apply(t, c.bad)
			n++
			later := fmt.Sprintf("later-%d.example", n)
			edge.goesOn(t, func() { cp.apply(t, gateway("later", server("later", later, "of-later"))) }, "of-own "+later+" "+c.has, c.hasnt+" "+refused)
			cp.says(t, "Gateway", ns+"/shop", "False RejectedByProxy: "+c.field+": ", "pod "+ns+"/gateway rejects", "the picky one can't have", c.says)
			cp.remove(t, "Gateway", ns+"/shop")
			cp.remove(t, "Gateway", ns+"/later")
			edge.inForce(t, "of-own", "of-a of-a2 was-fine "+later)
		})
	}
	t.Run("GatewayAPI", func(t *testing.T) {
		cp.apply(t, api("b.example", "was-fine"))
		s := cp.pickyOf(t, "router", "api", ns, nil)
		s.inForce(t, "good-route was-fine b.example", "")
		routes := schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}
		gateways := schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"}
		route := func(name string) string {
			return cp.programmed(t, routes, ns, name, "parents", "isthmesh.dev/Programmed")
		}
		listener := func() string { return cp.programmed(t, gateways, ns, "api", "listeners", "Programmed") }
		until := func(want string, get func() string) {
			t.Helper()
			eventuallyUntil(t, time.Now().Add(patience), func() string {
				if got := get(); !strings.Contains(got, want) || want == "" && got != "" {
					return fmt.Sprintf("it says %q, want %q in it", got, want)
				}
				return ""
			})
		}
		cp.apply(t, api("b.example", refused))
		until("False RejectedByProxy: pod edge/api rejects", func() string { return route("bad") })
		s.inForce(t, "good-route was-fine", refused)
		if said := route("good"); said != "" {
			t.Errorf("of a route that nobody refuses it says %q", said)
		}
		cp.apply(t, api("b.example", "mended"))
		until("", func() string { return route("bad") })
		s.inForce(t, "good-route mended", "")

		cp.apply(t, api(refused+".example", "mended-too"))
		until("b: False Invalid: pod edge/api rejects", listener)
		s.inForce(t, "good-route mended-too", refused)
		if strings.Contains(listener(), "a: False Invalid") {
			t.Errorf("of a listener that nobody refuses it says %q", listener())
		}
	})
	cp.alive(t)
}

// programmed is what conditions of a type say that are False, of the entries of a
// list in an object's status.
func (cp *controlPlane) programmed(t *testing.T, gvk schema.GroupVersionKind, namespace, name, list, kind string) string {
	t.Helper()
	u, err := cp.of(t, gvk).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	entries, _, _ := unstructured.NestedSlice(u.Object, "status", list)
	var out []string
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		conditions, _, _ := unstructured.NestedSlice(entry, "conditions")
		for _, c := range conditions {
			if m, ok := c.(map[string]any); ok && m["type"] == kind && m["status"] == "False" {
				out = append(out, fmt.Sprintf("%v: False %v: %v", entry["name"], m["reason"], m["message"]))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// TestEnvoyCantBindAServer: whether an address or a socket can be bound only the
// proxy finds out. Of the same gateway's servers the others serve.
func TestEnvoyCantBindAServer(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "unbound"
	t.Cleanup(func() { cp.clear(ns) })
	p := cp.namespaceWithGateway(t, ns, "10.1.1.14", map[string]string{"istio": "unbound"})
	gateway := func(socket, host string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: %s}, spec: {selector: {istio: unbound}, servers: [
  {port: {number: 18091, name: a, protocol: HTTP}, hosts: [%s]}, {port: {number: 0, name: b, protocol: HTTP}, bind: "unix://%s", hosts: [b.example]}]}}`, ns, host, socket)
	}
	cp.apply(t, gateway("/no/such/folder/socket", "a.example"))
	p.has(t, true, "a.example")
	cp.says(t, "Gateway", ns+"/g", "False RejectedByProxy: spec.servers[1]: ", "pod "+ns+"/", "cannot bind '/no/such/folder/socket'", "mend it or take it back")
	cp.apply(t, gateway("@isthmesh-unbound", "again.example"))
	p.has(t, true, "again.example")
	p.has(t, true, "@isthmesh-unbound")
	cp.alive(t)
}
