// SPDX-License-Identifier: Apache-2.0

package decisions_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// shown is a snapshot with something done to the rules that proxies get.
type shown struct {
	*snapshot.Snapshot
	rules func(*envoy.Resource) *envoy.Resource
}

func (s shown) View(p *model.Proxy) *envoy.View {
	v := s.Snapshot.View(p)
	var out []*envoy.Resource
	for _, r := range v.Types[envoy.ExtensionType].Shared.Resources() {
		if r = s.rules(r); r != nil {
			out = append(out, r)
		}
	}
	rules, _ := envoy.NewLayer(out)
	types := maps.Clone(v.Types)
	types[envoy.ExtensionType] = envoy.Layers{Shared: rules}
	return &envoy.View{Types: types}
}

// eventually something is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(2 * patience); time.Now().Before(end); <-ticker.C {
		if is() {
			return
		}
	}
	t.Fatal("never: " + what)
}

// TestNoRulesYet: a control plane that is lost between a listener and its rules
// leaves no listener that lets everything in. A proxy that is new listens to
// nobody; one that has rules goes on with them.
func TestNoRulesYet(t *testing.T) {
	w := newShop(t)
	w.build(t, "[]", denyAll)
	lost := shown{w.snapshot, func(*envoy.Resource) *envoy.Resource { return nil }}
	w.proxy.Show(lost)
	eventually(t, "it has the listener", func() bool { return w.proxy.Stat("listener_manager.lds.update_success") > 0 })
	if conn, err := w.client.Dial("10.244.0.20:8080"); err == nil {
		_ = conn.Close()
		t.Error("the proxy listens without rules")
	}
	if err := w.proxy.Try(w.snapshot); err != nil {
		t.Fatal(err)
	}
	if got := w.call(t, order{as: "storefront", path: "/"}); got.status != 403 {
		t.Errorf("with its rules: %d", got.status)
	}
	// Other filters beside the rules: the rules have other names.
	w.build(t, "[]", onlyPath("/")+`---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec: {jwtRules: [{issuer: i, jwks: '{"keys": []}'}]}
`)
	w.proxy.Show(shown{w.snapshot, lost.rules})
	eventually(t, "the next listener waits", func() bool { return w.proxy.Stat("listener_manager.total_listeners_warming") == 1 })
	if got := w.call(t, order{as: "storefront", path: "/"}); got.status != 403 {
		t.Errorf("while the next rules are waited for: %d", got.status)
	}
	if err := w.proxy.Try(w.snapshot); err != nil {
		t.Fatal(err)
	}
	if got := w.call(t, order{as: "storefront", path: "/"}); got.status != 200 {
		t.Errorf("with the next rules: %d", got.status)
	}
}

// TestRefusedRules: a proxy that can't take rules goes on with those that it has,
// then gets such as deny what the policy was to guard; and it takes all else that
// changes. When the policy is good again it is tried again.
func TestRefusedRules(t *testing.T) {
	w := newShop(t)
	w.apply(t, "[]", onlyPath("/"))
	const other = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: other, namespace: shop}\n" +
		"spec: {action: ALLOW, rules: [{to: [{operation: {paths: [/other]}}]}]}\n"
	w.build(t, "[]", onlyPath("/refused")+other)
	aside := (*snapshot.Aside)(nil).Next(w.result.Mesh)
	now := snapshot.BuildWithout(w.result.Mesh, aside, w.snapshot)
	status := func(path string) int { return w.call(t, order{as: "storefront", path: path}).status }
	w.proxy.Show(shown{now, refusable})
	eventually(t, "the rules are refused", func() bool { return len(w.proxy.Rejections()) > 0 })
	if got := status("/"); got != 200 {
		t.Errorf("under the rules from before: %d", got)
	}
	// Nobody knows which of the two it is until the proxy has taken the rules without.
	look := func() bool {
		done, connected := w.proxy.Settled("shop", "server")
		next := now.Refused(w.proxy.Rejections(), func(string, string) (bool, bool) { return done, connected })
		if next == aside {
			return len(aside.Searched()) == 0
		}
		aside = next.Next(w.result.Mesh)
		now = snapshot.BuildWithout(w.result.Mesh, aside, now)
		w.proxy.Show(shown{now, refusable})
		return false
	}
	eventually(t, "it is known which policy it is", look)
	w.proxy.Forgive()
	if err := w.proxy.Try(shown{now, refusable}); err != nil {
		t.Fatal(err)
	}
	if a, b := status("/refused"), status("/other"); a != 403 || b != 200 {
		t.Errorf("with what stands in: %d, and by the other policy %d", a, b)
	}
	if told := now.Blame(w.proxy.Rejections()); len(told) != 1 || told[0].Name != "only" || told[0].Kind != "AuthorizationPolicy" {
		t.Errorf("%+v", told)
	}
	// Other changes of the listener get through.
	was := w.listeners()
	w.build(t, "[]", onlyPath("/refused")+other+"---"+denyAll)
	aside = aside.Next(w.result.Mesh)
	now = snapshot.BuildWithout(w.result.Mesh, aside, now)
	if err := w.proxy.Try(shown{now, refusable}); err != nil {
		t.Fatal(err)
	}
	if is := w.listeners(); is == was || status("/other") != 403 {
		t.Errorf("another policy that is another listener, too: %v", is)
	}
	w.build(t, "[]", onlyPath("/"))
	aside = aside.Next(w.result.Mesh)
	now = snapshot.BuildWithout(w.result.Mesh, aside, now)
	if err := w.proxy.Try(shown{now, refusable}); err != nil {
		t.Fatal(err)
	}
	if told := now.Blame(w.proxy.Rejections()); status("/") != 200 || len(told) != 0 {
		t.Errorf("the policy that is good again: %+v", told)
	}
}

// refusable rules where some say so: Envoy can't read the pattern.
func refusable(r *envoy.Resource) *envoy.Resource {
	if text, err := r.JSON(); err != nil || !strings.Contains(string(text), "/refused") {
		return r
	}
	bad := &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{Rule: &matcherv3.PathMatcher_Path{Path: &matcherv3.StringMatcher{
		MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}},
	}}}}}
	anybody := &rbacv3.Principal{Identifier: &rbacv3.Principal_Any{Any: true}}
	out, err := envoy.NewResource(r.Name, &corev3.TypedExtensionConfig{Name: r.Name, TypedConfig: envoy.Any(&httprbacv3.RBAC{Rules: &rbacv3.RBAC{
		// Envoy takes the same twice without looking at it.
		Policies: map[string]*rbacv3.Policy{r.Version: {Permissions: []*rbacv3.Permission{bad}, Principals: []*rbacv3.Principal{anybody}}},
	}})})
	if err != nil {
		panic(err)
	}
	out.Version = r.Version // what is refused is what the snapshot has
	return out
}
