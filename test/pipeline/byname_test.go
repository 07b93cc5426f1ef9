// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// unknown is a mesh that looks up the hosts that it doesn't know, and two of whose
// workloads have it otherwise.
const unknown = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}
---
apiVersion: v1
kind: Pod
metadata: {name: client-1, namespace: shop, labels: {app: client}}
spec: {serviceAccountName: client, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.244.0.10}]}
---
apiVersion: v1
kind: Pod
metadata: {name: proxied-1, namespace: shop, labels: {app: proxied}}
spec: {serviceAccountName: client, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.244.0.11}]}
---
apiVersion: v1
kind: Service
metadata: {name: exit, namespace: shop}
spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], ports: [{name: tcp, port: 3128}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: exit-x, namespace: shop, labels: {kubernetes.io/service-name: exit}}
addressType: IPv4
ports: [{name: tcp, port: 8080}]
endpoints: [{addresses: [10.244.0.40], conditions: {ready: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.8, clusterIPs: [10.96.0.8], ports: [{name: http, port: 8087}]}
---
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: shop}
spec: {clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], ports: [{name: tcp, port: 7071}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: greeter-x, namespace: shop, labels: {kubernetes.io/service-name: greeter}}
addressType: IPv4
ports: [{name: tcp, port: 7070}]
endpoints: [{addresses: [10.244.0.40], conditions: {ready: true}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: proxied, namespace: shop}
spec:
  workloadSelector: {labels: {app: proxied}}
  outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: exit.shop.svc.cluster.local, port: {number: 3128}}}
`

// TestUnknownHosts calls hosts that the mesh doesn't know, at addresses where nobody is.
func TestUnknownHosts(t *testing.T) {
	root, fabric := rig.NewRoot(t), rig.New(t)
	caller, proxied, outside := fabric.Pod("shop", "client-1", "10.244.0.10"), fabric.Pod("shop", "proxied-1", "10.244.0.11"), fabric.Pod("outside", "plain", "10.244.0.40")
	m := built(t, []byte(unknown), nil)
	s := snapshot.Build(m, nil)
	for _, p := range append(m.Problems, s.Problems()...) {
		t.Errorf("problem: %+v", p)
	}
	leaf := root.Leaf("spiffe://cluster.local/ns/shop/sa/client")
	for _, pod := range []*rig.Pod{caller, proxied} {
		pod.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://cluster.local/ns/shop/sa/client", Leaf: &leaf, Redirect: true}).Push(s)
	}
	// Envoy's resolver answers localhost and names below it by itself.
	echo(caller, 8086)
	echo(caller, 8087)
	echo(outside, 8080)
	greet(outside, 7070)
	answerTLS(t, outside, "0.0.0.0:9443", root.Pair("outside.example"))

	for name, call := range map[string]struct {
		from                *rig.Pod
		address, host, want string
	}{
		"ByName":           {caller, "192.0.2.99:8086", "some.localhost:8086", "pod=client-1"},
		"OnPortOfAService": {caller, "192.0.2.99:8087", "some.localhost:8087", "pod=client-1"},
		"ToProxy":          {proxied, "192.0.2.99:8086", "some.example", "pod=plain host=some.example"},
		"ToProxyOnPort":    {proxied, "192.0.2.99:8087", "some.example", "pod=plain host=some.example"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := get(t, client(call.from), call.address, call.host); status != 200 || !strings.Contains(body, call.want) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	t.Run("OtherBytesGoWhereTheyWereMeantTo", func(t *testing.T) { converse(t, caller, "10.244.0.40:7070", "plain") })
	t.Run("ServersOfTheMeshMaySpeakFirst", func(t *testing.T) {
		// What waits for the client does so for five seconds each time; who is slow isn't each time.
		var took time.Duration
		for range 5 {
			start := time.Now()
			converse(t, caller, "10.96.0.9:7071", "plain")
			if took = time.Since(start); took < 4*time.Second {
				return
			}
		}
		t.Errorf("it was heard after %v", took)
	})
	t.Run("TLSGoesWhereItWasMeantTo", func(t *testing.T) {
		answer, err := overTLS(t, caller, "10.244.0.40:9443", &tls.Config{ServerName: "outside.example", RootCAs: root.Pool(), MinVersion: tls.VersionTLS12})
		if err != nil || answer != "served outside.example" {
			t.Errorf("%v %q", err, answer)
		}
	})
}
