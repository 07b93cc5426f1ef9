// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"slices"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

const datagrams = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio}
spec: {controllerName: istio.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec: {gatewayClassName: istio, listeners: [{name: dns, port: 5353, protocol: UDP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: dns, namespace: shop}
spec: {parentRefs: [{name: front}], rules: [{backendRefs: [{name: dns, port: 53}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: front}}
spec: {serviceAccountName: front, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.244.0.20}]}
---
`

// TestDatagramsUnderPolicies: no filter judges datagrams, so a gateway under a
// policy that decides takes none, and says so.
func TestDatagramsUnderPolicies(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		listen bool
	}{
		"None":    {"", true},
		"Nothing": {"spec: {}", false},
		"Deny":    {"spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}", false},
		"Gateway": {"spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]}", false},
		"Other":   {"spec: {selector: {matchLabels: {app: other}}}", true},
		"Audit":   {"spec: {action: AUDIT, rules: [{}]}", true},
	} {
		t.Run(name, func(t *testing.T) {
			text := datagrams
			if c.policy != "" {
				text += "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\n" + c.policy
			}
			read, err := manifest.Read([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			in := read.Input
			in.Settings = model.Settings{RootNamespace: "istio-system", TrustDomain: "east.example", DomainSuffix: "cluster.local"}
			mesh := ingest.Build(in, nil).Mesh
			s := snapshot.Build(mesh, nil)
			w := mesh.Workload("shop", "gateway")
			v := s.View(&model.Proxy{Type: model.Router, Namespace: "shop", Name: "gateway", Labels: w.Labels, Addresses: w.Addresses, Workload: w})
			if got := v.Get(envoy.ListenerType, "udp_0.0.0.0_5353") != nil; got != c.listen {
				t.Errorf("it listens: %v, want %v", got, c.listen)
			}
			told := slices.ContainsFunc(s.Problems(), func(p model.Problem) bool { return p.Kind == "Gateway" && p.Reason == "PolicyNotEnforced" })
			if told == c.listen {
				t.Errorf("got %v", s.Problems())
			}
		})
	}
}
