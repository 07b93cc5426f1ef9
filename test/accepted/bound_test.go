// SPDX-License-Identifier: Apache-2.0

package accepted_test

import (
	"fmt"
	"testing"
)

// TestListenersBecomeBound: an address at which calls were captured becomes one that
// is really bound, and back. Envoy 1.40 crashes when that is one listener.
func TestListenersBecomeBound(t *testing.T) {
	y := newYard(t)
	if err := y.try(t, nil); err != nil {
		t.Fatal(err)
	}
	// A host that no service has is called on port 80.
	const routed = "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: routed, namespace: shop}, spec: {hosts: [c.example.org], http: [{route: [{destination: {host: ratings}}]}]}}"
	for name, spec := range map[string]string{
		"Alone":            `egress: [{bind: 0.0.0.0, captureMode: NONE, hosts: ["bank/*"], port: {name: tls, number: 80, protocol: HTTPS}}]`,
		"BesideCaptured":   `egress: [{bind: 0.0.0.0, captureMode: NONE, hosts: ["bank/*"], port: {name: http, number: 80, protocol: HTTP}}, {hosts: ["*/*"]}]`,
		"EveryAddress":     `egress: [{bind: 0.0.0.0, captureMode: NONE, hosts: ["*/*"], port: {name: x, number: 80, protocol: TLS}}]`,
		"AServiceCaptured": `egress: [{bind: 10.96.0.10, captureMode: IPTABLES, hosts: ["bank/*"], port: {name: x, number: 3306, protocol: TCP}}, {hosts: ["*/*"]}]`,
		"Service":          `egress: [{bind: 127.0.0.1, captureMode: NONE, hosts: ["*/*"], port: {name: http, number: 9080, protocol: HTTP}}]`,
		"Ingress":          `ingress: [{bind: 127.0.0.1, captureMode: NONE, port: {name: http, number: 9080, protocol: HTTP}, defaultEndpoint: "127.0.0.1:8080"}]`,
		"OneAddressTwice":  `ingress: [{bind: 127.0.0.1, captureMode: NONE, port: {name: http, number: 9080, protocol: HTTP}, defaultEndpoint: "127.0.0.1:8080"}], egress: [{captureMode: NONE, hosts: ["*/*"], port: {name: http, number: 9080, protocol: HTTP}}]`,
		"NothingIsTaken":   `egress: [{captureMode: NONE, hosts: ["*/*"]}]`,
		"Captured":         `egress: [{bind: 0.0.0.0, captureMode: IPTABLES, hosts: ["bank/*"], port: {name: http, number: 80, protocol: HTTP}}, {hosts: ["*/*"]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			object := fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: default, namespace: shop}, spec: {%s}}", spec)
			for _, objects := range [][]string{{object}, {object, routed}, {routed}, nil} {
				if err := y.try(t, objects); err != nil {
					t.Fatalf("%d objects: %.2000v", len(objects), err)
				}
			}
		})
	}
}
