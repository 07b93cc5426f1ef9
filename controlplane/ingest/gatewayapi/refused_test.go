// SPDX-License-Identifier: Apache-2.0

package gatewayapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const edge = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop, generation: 3}
spec:
  gatewayClassName: istio
  allowedListeners: {namespaces: {from: Same}}
  listeners:
  - {name: a, port: 80, protocol: HTTP, hostname: a.example}
  - {name: b, port: 80, protocol: HTTP, hostname: b.example}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: shop, generation: 1}
spec:
  parentRef: {name: edge}
  listeners:
  - {name: c, port: 81, protocol: HTTP}
  - {name: d, port: 82, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop, generation: 2}
spec: {parentRefs: [{name: edge}], rules: [{}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: s, namespace: shop, generation: 2}
spec: {parentRefs: [{name: edge}], rules: [{}]}
`

// TestRefused: what proxies refuse stands in the status of the very listener or
// route, and nowhere else.
func TestRefused(t *testing.T) {
	rejected := func(kind, name, field string) model.Problem {
		return model.Problem{Kind: kind, Namespace: "shop", Name: name, Field: field, Reason: model.RejectedByProxy, Message: "pod shop/p rejects it"}
	}
	for name, test := range map[string]struct {
		problems []model.Problem
		want     string
	}{
		"Nothing":        {},
		"OtherReason":    {problems: []model.Problem{{Kind: "HTTPRoute", Namespace: "shop", Name: "r", Reason: "Conflict"}}},
		"Listener":       {problems: []model.Problem{rejected("Gateway", "edge", "spec.listeners[1]")}, want: "Gateway edge b: False Invalid 3 pod shop/p rejects it"},
		"ListenerOfSet":  {problems: []model.Problem{rejected("ListenerSet", "more", "spec.listeners[d]")}, want: "ListenerSet more d: False Invalid 1 pod shop/p rejects it"},
		"IstiosGateway":  {problems: []model.Problem{rejected("Gateway", "edge", "spec.servers[1]")}},
		"Route":          {problems: []model.Problem{rejected("HTTPRoute", "r", "spec")}, want: "HTTPRoute r isthmesh.dev/Programmed: False RejectedByProxy 2 pod shop/p rejects it"},
		"RouteTwice":     {problems: []model.Problem{rejected("HTTPRoute", "r", "spec"), rejected("HTTPRoute", "r", "spec")}, want: "HTTPRoute r isthmesh.dev/Programmed: False RejectedByProxy 2 pod shop/p rejects it"},
		"OtherKindsName": {problems: []model.Problem{rejected("VirtualService", "r", "spec")}},
	} {
		t.Run(name, func(t *testing.T) {
			statuses := gatewayapi.Build(read(t, map[string][]byte{"objects.yaml": []byte(edge)}), nil).Statuses
			before := programmed(statuses)
			got := programmed(statuses.Refused(test.problems))
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if after := programmed(statuses); before != "" || after != "" {
				t.Errorf("without refusals it was %q, and after them %q", before, after)
			}
		})
	}
}

// programmed lists what isn't, where the proxies are there.
func programmed(s *gatewayapi.Statuses) string {
	var out []string
	add := func(what, part string, conditions []metav1.Condition) {
		for _, c := range conditions {
			if strings.HasSuffix(c.Type, "Programmed") && c.Status != metav1.ConditionTrue {
				if part == "" {
					part = c.Type
				}
				out = append(out, fmt.Sprintf("%s %s: %s %s %d %s", what, part, c.Status, c.Reason, c.ObservedGeneration, c.Message))
			}
		}
	}
	there := gatewayapi.Deployed{Ready: 1, Addresses: []gateway.GatewayStatusAddress{{Value: "10.0.0.1"}}}
	for _, g := range s.Gateways {
		for _, l := range g.With(there).Listeners {
			add("Gateway "+g.Name, string(l.Name), l.Conditions)
		}
	}
	for _, set := range s.ListenerSets {
		for _, l := range set.With(there).Listeners {
			add("ListenerSet "+set.Name, string(l.Name), l.Conditions)
		}
	}
	for _, r := range s.Routes {
		for _, p := range r.Parents {
			add(r.Kind+" "+r.Name, "", p.Conditions)
		}
	}
	return strings.Join(out, "\n")
}
