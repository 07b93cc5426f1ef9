// SPDX-License-Identifier: Apache-2.0

package accepted_test

import (
	"fmt"
	"regexp"
	"strings"
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

// TestPodsListenWhereTheyAreCalled: a pod of a headless service, which is called at its
// address, really listens at just that.
func TestPodsListenWhereTheyAreCalled(t *testing.T) {
	const service = `{apiVersion: v1, kind: Service, metadata: {name: headless, namespace: shop}, spec: {clusterIP: None, clusterIPs: [None], selector: {app: reviews}, ports: [{name: tcp-db, port: 3306}]}}`
	const slice = `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: headless-1, namespace: shop, labels: {kubernetes.io/service-name: headless}}, addressType: IPv4, ports: [{name: tcp-db, port: 3306}],
endpoints: [{addresses: [10.244.0.21], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-1, namespace: shop}}]}`
	y := newYard(t)
	listens := func(name string) bool {
		return strings.Contains("\n"+y.proxies["sidecar"].Get("/listeners"), "\n"+name+"::")
	}
	for _, spec := range []string{
		"",
		`ingress: [{captureMode: NONE, port: {name: tcp, number: 3306, protocol: TCP}, defaultEndpoint: "127.0.0.1:3307"}]`,
		`ingress: [{bind: 10.244.0.21, captureMode: NONE, port: {name: tcp, number: 3306, protocol: TCP}, defaultEndpoint: "127.0.0.1:3307"}]`,
		`ingress: [{captureMode: NONE, port: {name: tcp, number: 3307, protocol: TCP}, defaultEndpoint: "127.0.0.1:3306"}]`,
		"",
	} {
		objects, at := []string{service, slice}, ""
		if spec != "" {
			objects = append(objects, "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: default, namespace: shop}, spec: {workloadSelector: {labels: {app: reviews}}, "+spec+"}}")
			at = regexp.MustCompile("number: (....)").FindStringSubmatch(spec)[1]
		}
		if err := y.try(t, objects); err != nil {
			t.Fatalf("%s %.2000v", spec, err)
		}
		if own := at != ""; listens("inbound_10.244.0.21_"+at) != own || listens("10.244.0.21_3306") == (at == "3306") {
			t.Errorf("%q: the listeners are\n%s", spec, y.proxies["sidecar"].Get("/listeners"))
		}
	}
}

// TestAddressesOfNobody: an entry at every address doesn't take the proxies' own
// listeners, nor the port that others share.
func TestAddressesOfNobody(t *testing.T) {
	const routed = "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: routed, namespace: shop}, spec: {hosts: [c.example.org], http: [{route: [{destination: {host: ratings}}]}]}}"
	y := newYard(t)
	for _, address := range []string{"0.0.0.0", "::", "0.0.0.0/32", "::/128", "::ffff:0.0.0.0"} {
		for _, port := range []int{80, 15001, 15006, 15021, 15090} {
			entry := fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: nobody, namespace: bank},
spec: {hosts: [nobody.example.org], addresses: [%q, "fd00::1"], ports: [{number: %d, name: tcp, protocol: TCP}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]}}`, address, port)
			if err := y.try(t, []string{entry, routed}); err != nil {
				t.Errorf("%s %d: %.500v", address, port, err)
			}
		}
	}
}
