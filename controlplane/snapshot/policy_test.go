// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// guardedMesh has pods a and b in shop, c in pay, and these policies.
func guardedMesh(policies ...*model.Authorization) *model.Mesh {
	m := &model.Mesh{Settings: &model.Settings{TrustDomain: "east.example", RootNamespace: "istio-system", DomainSuffix: "cluster.local"}, Authorizations: policies}
	for i, name := range []string{"pay/c", "shop/a", "shop/b"} {
		w := &model.Workload{
			Namespace: name[:len(name)-2], Name: name[len(name)-1:], Labels: map[string]string{"app": name[len(name)-1:]}, Meshed: true,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}, Inbound: []model.InboundPort{{Port: 80, Protocol: model.HTTP}},
		}
		m.Workloads = append(m.Workloads, w)
	}
	return m
}

func authorization(namespace, name string, labels map[string]string, action model.AuthorizationAction) *model.Authorization {
	return &model.Authorization{
		Origin: model.Origin{Kind: "AuthorizationPolicy", Namespace: namespace, Name: name}, Action: action,
		Target: model.Target{Selector: model.LabelsOf(labels)}, Rules: []model.AuthorizationRule{{}},
	}
}

// inboundOf each pod, by its listener's version.
func inboundOf(s *snapshot.Snapshot, m *model.Mesh) map[string]string {
	out := map[string]string{}
	for _, w := range m.Workloads {
		v := s.View(&model.Proxy{Type: model.Sidecar, Namespace: w.Namespace, Name: w.Name, Workload: w, Labels: w.Labels})
		out[w.Name] = v.Get(envoy.ListenerType, envoy.VirtualInbound).Version
	}
	return out
}

// TestPoliciesReachWhomTheyConcern, and no other: the others keep even their layers.
func TestPoliciesReachWhomTheyConcern(t *testing.T) {
	for name, test := range map[string]struct {
		policy  *model.Authorization
		changes string
	}{
		"Workload":      {authorization("shop", "p", map[string]string{"app": "a"}, model.Deny), "a"},
		"Namespace":     {authorization("shop", "p", nil, model.Deny), "ab"},
		"Mesh":          {authorization("istio-system", "p", nil, model.Deny), "abc"},
		"MeshSelector":  {authorization("istio-system", "p", map[string]string{"app": "c"}, model.Deny), "c"},
		"Nobody":        {authorization("shop", "p", map[string]string{"app": "x"}, model.Deny), ""},
		"OtherNamspace": {authorization("other", "p", nil, model.Deny), ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := guardedMesh()
			first := snapshot.Build(before, nil)
			was := inboundOf(first, before)
			after := *before
			after.Authorizations = []*model.Authorization{test.policy}
			second := snapshot.Build(&after, first)
			changed := ""
			is := inboundOf(second, &after)
			for _, pod := range []string{"a", "b", "c"} {
				if was[pod] != is[pod] {
					changed += pod
				}
			}
			if changed != test.changes {
				t.Errorf("%q changed, want %q", changed, test.changes)
			}
			for i, w := range before.Workloads {
				p := &model.Proxy{Type: model.Sidecar, Namespace: w.Namespace, Name: w.Name, Workload: after.Workloads[i], Labels: w.Labels}
				same := first.View(p).Types[envoy.ListenerType].Own == second.View(p).Types[envoy.ListenerType].Own
				if want := was[w.Name] == is[w.Name]; same != want {
					t.Errorf("%s: same layer %v, want %v", w.Name, same, want)
				}
			}
			// And back again.
			if back := inboundOf(snapshot.Build(before, second), before); fmt.Sprint(back) != fmt.Sprint(was) {
				t.Error("a policy that is gone leaves something behind")
			}
		})
	}
}

// TestStrangersHavePolicies: while a proxy's pod isn't known, the policies hold
// that its namespace and the labels that it tells have.
func TestStrangersHavePolicies(t *testing.T) {
	m := guardedMesh(authorization("shop", "p", map[string]string{"app": "new"}, model.Deny))
	s := snapshot.Build(m, nil)
	version := func(s *snapshot.Snapshot, name, namespace, app string) string {
		p := &model.Proxy{Type: model.Sidecar, Namespace: namespace, Name: name, Labels: map[string]string{"app": app}}
		return s.View(p).Get(envoy.ListenerType, envoy.VirtualInbound).Version
	}
	guarded, free := version(s, "x", "shop", "new"), version(s, "y", "shop", "other")
	if guarded == free || version(s, "z", "pay", "new") != free {
		t.Error("the policy of a stranger isn't seen, or one of another namespace is")
	}
	next := *m
	next.Authorizations = nil
	if grown := snapshot.Build(&next, s); version(grown, "x", "shop", "new") != free {
		t.Error("the policy is still there")
	}
}

// TestPoliciesOfEastWestGateways hold at those that they select.
func TestPoliciesOfEastWestGateways(t *testing.T) {
	m := guardedMesh(authorization("istio-system", "p", map[string]string{"app": "ew"}, model.Deny))
	m.Services = []model.ServiceState{{
		Service: &model.Service{
			Hostname: "a.shop.svc.cluster.local", Name: "a", Namespace: "shop", Local: true, Exported: true,
			Ports: []model.Port{{Number: 80, Protocol: model.HTTP}}, Identities: []string{"spiffe://east.example/ns/shop/sa/a"},
		},
		Endpoints: []*model.EndpointSet{{Endpoints: []model.Endpoint{{Address: "10.0.0.1", Port: 80, Weight: 1, MTLS: true}}}},
	}}
	s := snapshot.Build(m, nil)
	version := func(app string) string {
		p := &model.Proxy{Type: model.Router, Namespace: "istio-system", Name: app, Labels: map[string]string{"istio": "eastwestgateway", "app": app}}
		return s.View(p).Get(envoy.ListenerType, envoy.PortListener(envoy.EastWestPort)).Version
	}
	if version("ew") == version("other") {
		t.Error("the policy isn't at the gateway that it selects")
	}
}
