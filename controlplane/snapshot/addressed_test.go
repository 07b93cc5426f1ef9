// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func TestAddressed(t *testing.T) {
	mesh := &model.Mesh{
		Services: []model.ServiceState{
			{Service: &model.Service{Hostname: "a.one", Namespace: "one"}},
			{Service: &model.Service{Hostname: "b.two", Namespace: "two"}},
			{Service: &model.Service{Hostname: "c.three", Namespace: "three"}},
		},
		Routings: []*model.Routing{
			{BySpecificity: true, Gateways: []model.GatewayRef{model.Sidecars}, Hosts: []string{"a.one", "unknown"}},
			{BySpecificity: true, Gateways: []model.GatewayRef{model.Sidecars}, Hosts: []string{"b.two"}, ConsumerNamespace: "client"},
			// Istio's, and one for a gateway: the host alone decides.
			{Gateways: []model.GatewayRef{model.Sidecars}, Hosts: []string{"c.three"}},
			{BySpecificity: true, Gateways: []model.GatewayRef{{Namespace: "edge", Name: "edge"}}, Hosts: []string{"c.three"}},
		},
	}
	want := map[string]map[string]bool{"one": {"": true}, "two": {"client": true}}
	if diff := cmp.Diff(want, addressed(mesh)); diff != "" {
		t.Error(diff)
	}
}
