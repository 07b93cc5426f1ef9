// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

const limitName = "policy.isthmesh.dev/ratelimitpolicy/shop.l"

func limitOn(labels map[string]string, requests uint32) *model.RateLimit {
	return &model.RateLimit{
		Origin: model.Origin{Kind: "RateLimitPolicy", Namespace: "shop", Name: "l"}, Target: model.Target{Selector: model.LabelsOf(labels)}, Status: 429,
		Rules: []model.RateRule{{Name: "all", Requests: requests, Burst: requests, Unit: model.PerHour}},
	}
}

// TestLimitsReachWhomTheyConcern, and no other, beside plugins. Another limit changes
// no listener, and what is the same keeps its pointers.
func TestLimitsReachWhomTheyConcern(t *testing.T) {
	before := guardedMesh()
	before.Plugins = []*model.WasmPlugin{pluginOn(nil)}
	first := snapshot.Build(before, nil)
	was := inboundOf(first, before)
	after := *before
	after.RateLimits = []*model.RateLimit{limitOn(map[string]string{"app": "a"}, 1)}
	second := snapshot.Build(&after, first)
	is := inboundOf(second, &after)
	if was["a"] == is["a"] || was["b"] != is["b"] || was["c"] != is["c"] {
		t.Errorf("before %v, after %v", was, is)
	}
	a, b := before.Workload("shop", "a"), before.Workload("shop", "b")
	config := configOf(second, a, limitName)
	if config == nil || configOf(second, b, limitName) != nil || configOf(second, a, pluginsName) == nil {
		t.Fatal("the configuration is not where it is wanted, or where it is not")
	}
	same := snapshot.Build(&after, second)
	if configOf(same, a, limitName) != config {
		t.Error("what says the same is another resource")
	}
	other := after
	other.RateLimits = []*model.RateLimit{limitOn(map[string]string{"app": "a"}, 2)}
	third := snapshot.Build(&other, same)
	if configOf(third, a, limitName).Version == config.Version || inboundOf(third, &other)["a"] != is["a"] {
		t.Error("another limit is the same one, or makes another listener")
	}
	if configOf(third, a, pluginsName) != configOf(second, a, pluginsName) {
		t.Error("another limit makes another plugin")
	}
	if back := inboundOf(snapshot.Build(before, third), before); back["a"] != was["a"] {
		t.Error("a limit that is gone leaves something behind")
	}
}

// TestLimitSetAside: a proxy that refuses a limit goes on with the one it had, or without
// one, the others keep it, and the policy is told.
func TestLimitSetAside(t *testing.T) {
	settled := func(string, string) (bool, bool) { return true, true }
	for name, test := range map[string]struct {
		before *model.RateLimit
		want   string // in the configuration of the proxy that refuses; "" for none
	}{
		"Known": {limitOn(nil, 7), `"max_tokens":7`},
		"New":   {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			old := guardedMesh()
			if test.before != nil {
				old.RateLimits = []*model.RateLimit{test.before}
			}
			var aside *snapshot.Aside
			aside = aside.Next(old)
			s := snapshot.BuildWithout(old, aside, nil)
			mesh := *old
			mesh.RateLimits = []*model.RateLimit{limitOn(nil, 9)}
			aside = aside.Next(&mesh)
			s = snapshot.BuildWithout(&mesh, aside, s)
			a, b := mesh.Workload("shop", "a"), mesh.Workload("shop", "b")
			refuses := []model.Rejection{{
				Proxy: &model.Proxy{Type: model.Sidecar, Namespace: "shop", Name: "a", Workload: a, Labels: a.Labels}, TypeURL: envoy.ExtensionType, Resource: limitName, Reason: "no",
			}}
			for range 4 {
				next := s.Refused(refuses, settled)
				if next == aside {
					break
				}
				aside, refuses = next, nil // it takes what stands in
				s = snapshot.BuildWithout(&mesh, aside, s)
			}
			if is := text(t, configOf(s, a, limitName)); (is == "") != (test.want == "") || !strings.Contains(strings.ReplaceAll(is, " ", ""), test.want) {
				t.Errorf("the proxy that refuses has %s", is)
			}
			if is := text(t, configOf(s, b, limitName)); !strings.Contains(strings.ReplaceAll(is, " ", ""), `"max_tokens":9`) {
				t.Errorf("another proxy has %s", is)
			}
			if told := s.Blame(nil); len(told) != 1 || told[0].Kind != "RateLimitPolicy" || told[0].Name != "l" || told[0].Reason != model.RejectedByProxy {
				t.Errorf("told is %+v", told)
			}
		})
	}
}
