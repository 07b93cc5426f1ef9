// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestTheOldestWins: of two objects that clash the one that was there first stays
// in force, whatever their names, and the other's status names it; when the first
// is gone, the other takes its place.
func TestTheOldestWins(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "clashes"
	p := cp.namespaceWithClient(t, ns, "10.1.0.4")
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: %[1]s}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: gateway, namespace: %[1]s, labels: {istio: front}}, spec: {nodeName: worker, automountServiceAccountToken: false, containers: [{name: istio-proxy, image: proxy, args: [proxy, router]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: front, namespace: %[1]s}, spec: {selector: {istio: front}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.front.example"]}]}}
`, ns))
	if _, err := cp.kube.CoreV1().Pods(ns).Patch(t.Context(), "gateway", "application/merge-patch+json",
		[]byte(`{"status":{"phase":"Running","podIP":"10.1.0.5","podIPs":[{"ip":"10.1.0.5"}],"conditions":[{"type":"Ready","status":"True"}]}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind, spec string
		// inForce is in the sidecar's configuration, with the object's name; empty when it is a gateway's.
		inForce string
	}{
		"VirtualServicesOfAHost":      {"VirtualService", `{hosts: [web], http: [{headers: {request: {set: {x-from: NAME}}}, route: [{destination: {host: web}}]}]}`, `"NAME"`},
		"VirtualServicesAtAGateway":   {"VirtualService", `{hosts: [a.front.example], gateways: [front], http: [{route: [{destination: {host: web}}]}]}`, ""},
		"GatewaysOfAPortAndAHost":     {"Gateway", `{selector: {istio: front}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [same.example]}]}`, ""},
		"GatewaysOfOneServerName":     {"Gateway", `{selector: {istio: front}, servers: [{port: {number: 8443, name: https, protocol: HTTPS}, hosts: [same.example], tls: {mode: PASSTHROUGH}}, {port: {number: 8444, name: tls, protocol: TLS}, hosts: [same.example], tls: {mode: PASSTHROUGH}}]}`, ""},
		"GatewaysOfAPortForTCP":       {"Gateway", `{selector: {istio: front}, servers: [{port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}]}`, ""},
		"ServiceEntriesOfAHost":       {"ServiceEntry", `{hosts: [one.example], resolution: NONE, ports: [{number: PORT, name: http, protocol: HTTP}]}`, "outbound|PORT||one.example"},
		"SidecarsOfANamespace":        {"Sidecar", `{egress: [{hosts: ["./*"]}]}`, ""},
		"DestinationRulesWithASubset": {"DestinationRule", `{host: web, subsets: [{name: v1, labels: {from: NAME}, trafficPolicy: {connectionPool: {tcp: {maxConnections: PORT}}}}]}`, `"max_connections": PORT`},
	} {
		t.Run(name, func(t *testing.T) {
			api, _ := cp.object(t, c.kind, ns+"/x")
			put := func(name, port string) metav1.Time {
				t.Helper()
				u := &unstructured.Unstructured{}
				version := "v1"
				text := fmt.Sprintf("{apiVersion: networking.istio.io/%s, kind: %s, metadata: {name: %s, namespace: %s}, spec: %s}", version, c.kind, name, ns,
					strings.NewReplacer("NAME", name, "PORT", port).Replace(c.spec))
				if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
					t.Fatal(err)
				}
				u, err := api.Create(t.Context(), u, createOptions)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { cp.removeQuietly(c.kind, ns, name) })
				return u.GetCreationTimestamp()
			}
			first := put("z-first", "7001")
			// Ages are in seconds: the second is to be younger.
			eventually(t, func() string {
				if second := put("a-second", "7002"); !first.Before(&second) {
					cp.remove(t, c.kind, ns+"/a-second")
					return "the API server's clock stands still"
				}
				return ""
			})
			of := func(name, port string) string {
				return strings.NewReplacer("NAME", name, "PORT", port).Replace(c.inForce)
			}
			cp.says(t, c.kind, ns+"/a-second", "False Conflict: ", ns+"/z-first")
			if got := cp.condition(t, c.kind, ns+"/z-first"); strings.HasPrefix(got, "False") {
				t.Errorf("the oldest has a condition: %s", got)
			}
			if c.inForce != "" {
				p.has(t, true, of("z-first", "7001"))
				p.has(t, false, of("a-second", "7002"))
			}
			cp.remove(t, c.kind, ns+"/z-first")
			cp.says(t, c.kind, ns+"/a-second", "True Reconciled")
			if c.inForce != "" {
				p.has(t, true, of("a-second", "7002"))
			}
		})
	}
}
