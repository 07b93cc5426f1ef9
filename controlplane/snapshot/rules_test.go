// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// onPath is a policy about requests alone.
func onPath(name, path string, action model.AuthorizationAction) *model.Authorization {
	a := authorization("shop", name, nil, action)
	a.Rules = []model.AuthorizationRule{{To: []model.Operation{{Paths: model.Values{In: []string{path}}}}}}
	return a
}

func viewOf(s *snapshot.Snapshot, m *model.Mesh, namespace, name string) *envoy.View {
	w := m.Workload(namespace, name)
	return s.View(&model.Proxy{Type: model.Sidecar, Namespace: namespace, Name: name, Workload: w, Labels: w.Labels})
}

func text(t *testing.T, r *envoy.Resource) string {
	t.Helper()
	if r == nil {
		return ""
	}
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRulesReachWhomTheyConcern without a change of listeners, and workloads under
// the same policies share them.
func TestRulesReachWhomTheyConcern(t *testing.T) {
	before := guardedMesh(onPath("p", "/a", model.Allow))
	after := *before
	after.Authorizations = []*model.Authorization{onPath("p", "/b", model.Allow)}
	first := snapshot.Build(before, nil)
	views := map[string]*envoy.View{}
	for _, pod := range []string{"shop/a", "shop/b", "pay/c"} {
		namespace, name, _ := strings.Cut(pod, "/")
		views[pod] = viewOf(first, before, namespace, name)
	}
	second := snapshot.Build(&after, first)
	for pod, was := range views {
		namespace, name, _ := strings.Cut(pod, "/")
		is := viewOf(second, &after, namespace, name)
		if was.Types[envoy.ListenerType] != is.Types[envoy.ListenerType] {
			t.Errorf("%s has other listeners", pod)
		}
		if same := was.Types[envoy.ExtensionType] == is.Types[envoy.ExtensionType]; same != (namespace == "pay") {
			t.Errorf("%s: the same rules: %v", pod, same)
		}
		if denies := envoy.Authorizations + "http.deny"; was.Get(envoy.ExtensionType, denies) == nil || was.Get(envoy.ExtensionType, denies) != is.Get(envoy.ExtensionType, denies) {
			t.Errorf("%s: what didn't change is another resource", pod)
		}
	}
	if viewOf(second, &after, "shop", "a").Types[envoy.ExtensionType] != viewOf(second, &after, "shop", "b").Types[envoy.ExtensionType] {
		t.Error("replicas don't share their rules")
	}
}

// TestPatchedRules: an EnvoyFilter that names an RBAC filter finds it whole where
// it holds, and changes nothing elsewhere.
func TestPatchedRules(t *testing.T) {
	m := guardedMesh(onPath("p", "/a", model.Deny))
	patched := *m
	patched.Patches = []*model.Patch{{
		Origin: model.Origin{Kind: "EnvoyFilter", Namespace: "shop", Name: "f"}, Target: model.Target{Selector: model.LabelsOf(map[string]string{"app": "a"})},
		ApplyTo: "HTTP_FILTER", Context: "SIDECAR_INBOUND", Operation: "INSERT_BEFORE",
		Match: []byte(`{"listener":{"filterChain":{"filter":{"name":"envoy.filters.network.http_connection_manager","subFilter":{"name":"envoy.filters.http.rbac"}}}}}`),
		Value: []byte(`{"name":"mine","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"}}`),
	}}
	first := snapshot.Build(m, nil)
	was := inboundOf(first, m)
	second := snapshot.Build(&patched, first)
	is := inboundOf(second, &patched)
	if was["a"] == is["a"] || was["b"] != is["b"] || was["c"] != is["c"] {
		t.Errorf("before %v, after %v", was, is)
	}
	view := viewOf(second, &patched, "shop", "a")
	listener := text(t, view.Get(envoy.ListenerType, envoy.VirtualInbound))
	if mine, rbac := strings.Index(listener, `"mine"`), strings.Index(listener, `"envoy.filters.http.rbac"`); mine < 0 || rbac < mine || !strings.Contains(listener, "ns[shop]-policy[p]-rule[0]") {
		t.Errorf("the patch isn't before the policy: %s", listener)
	}
	if rules := view.Types[envoy.ExtensionType].Shared.Resources(); len(rules) != 0 {
		t.Errorf("%d configurations that nobody discovers", len(rules))
	}
	if back := inboundOf(snapshot.Build(m, second), m); back["a"] != was["a"] {
		t.Error("a patch that is gone leaves something behind")
	}
}

// TestRefusedRules: a proxy that refuses rules gets such as deny what the policy
// was to guard, and the others what the policies say; until it changes.
func TestRefusedRules(t *testing.T) {
	allow := envoy.Authorizations + "http.allow"
	mesh := guardedMesh(onPath("good", "/a", model.Allow), onPath("spoilt", "/bad", model.Allow), onPath("denies", "/c", model.Deny))
	aside := (*snapshot.Aside)(nil).Next(mesh)
	s := snapshot.BuildWithout(mesh, aside, nil)
	rules := func(pod string) string { return text(t, viewOf(s, mesh, "shop", pod).Get(envoy.ExtensionType, allow)) }
	whole := rules("b")
	settled := func(string, string) (bool, bool) { return true, true }
	for range 20 {
		var rejections []model.Rejection
		if strings.Contains(rules("a"), "/bad") {
			w := mesh.Workload("shop", "a")
			rejections = []model.Rejection{{
				Proxy: &model.Proxy{Type: model.Sidecar, Namespace: "shop", Name: "a", Labels: w.Labels, Workload: w}, TypeURL: envoy.ExtensionType, Resource: allow, Reason: "no",
			}}
		}
		aside = s.Refused(rejections, settled).Next(mesh)
		s = snapshot.BuildWithout(mesh, aside, s)
	}
	if got := rules("a"); strings.Contains(got, "/bad") || !strings.Contains(got, `"/a"`) || rules("b") != whole {
		t.Errorf("a has %s, b %s", got, rules("b"))
	}
	if told := s.Blame(nil); len(told) != 1 || told[0].Name != "spoilt" || told[0].Kind != "AuthorizationPolicy" {
		t.Errorf("%+v", told)
	}
	changed := *mesh
	changed.Authorizations = []*model.Authorization{mesh.Authorizations[0], onPath("spoilt", "/e", model.Allow), mesh.Authorizations[2]}
	s = snapshot.BuildWithout(&changed, aside.Next(&changed), s)
	mesh = &changed
	if got := rules("a"); !strings.Contains(got, "/a") || !strings.Contains(got, "/e") || len(s.Blame(nil)) != 0 {
		t.Errorf("a policy that changed isn't tried again: %s", got)
	}
}
