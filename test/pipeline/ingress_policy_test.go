// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestIngressPolicies: what selects a gateway's pods holds at the gateway.
func TestIngressPolicies(t *testing.T) {
	f := newFront(t, []model.Listener{{Name: "plain", Port: 8081, Hosts: []model.ListenerHost{{Host: "*"}}}}, []*model.Routing{toWeb("web.example")})
	m := *f.mesh
	m.Authorizations = []*model.Authorization{{
		Origin: model.Origin{Kind: "AuthorizationPolicy", Namespace: "edge", Name: "deny"},
		Target: model.Target{Selector: "istio=ingress"}, Action: model.Deny,
		Rules: []model.AuthorizationRule{{To: []model.Operation{{Paths: model.Values{In: []string{"/secret"}}}}}},
	}}
	f.mesh = &m
	f.push()
	for path, want := range map[string]int{"/": 200, "/secret": 403, "/./secret": 403, "/secret?x": 403, "/secrets": 200} {
		if status, body, _ := f.call(f.client(nil), "http://x:8081"+path, "web.example"); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
