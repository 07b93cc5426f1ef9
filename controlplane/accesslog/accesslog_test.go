// SPDX-License-Identifier: Apache-2.0

package accesslog

import (
	"fmt"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

var providers = []model.LogProvider{{Name: "a"}, {Name: "B"}, {Name: "envoy"}}

func telemetry(namespace, name string, selector model.Labels, rules ...model.LogRule) *model.Telemetry {
	return &model.Telemetry{Origin: model.Origin{Namespace: namespace, Name: name}, Target: model.Target{Selector: selector}, Logs: rules}
}

// said is what each side logs: "-" for what the mesh has, "nothing" for nothing.
func said(s *model.Settings, chosen []*model.Telemetry) string {
	var out []string
	for _, side := range []model.PluginMode{model.Client, model.Server} {
		logs, said := logsOf(s, chosen, side)
		var words []string
		for _, l := range logs {
			words = append(words, strings.TrimSuffix(l.provider+":"+l.filter, ":"))
		}
		switch {
		case !said:
			words = []string{"-"}
		case len(words) == 0:
			words = []string{"nothing"}
		}
		out = append(out, strings.Join(words, ","))
	}
	return out[0] + " | " + out[1]
}

// TestRules: what rules of wider and narrower Telemetries come to, as Istio has it.
func TestRules(t *testing.T) {
	rule := func(providers ...string) model.LogRule { return model.LogRule{Providers: providers} }
	on := func(r model.LogRule, side model.PluginMode) model.LogRule { r.Side = side; return r }
	off := func(r model.LogRule) model.LogRule { r.Disabled = true; return r }
	only := func(r model.LogRule, filter string) model.LogRule { r.Filter = filter; return r }
	type rules []model.LogRule
	for name, c := range map[string]struct {
		defaults []string
		chosen   []rules
		want     string
	}{
		"Nothing":            {nil, nil, "- | -"},
		"Named":              {nil, []rules{{rule("a")}}, "a | a"},
		"WithoutNames":       {nil, []rules{{rule()}}, "- | -"},
		"Defaults":           {[]string{"a"}, []rules{{rule()}}, "a | a"},
		"DefaultsOff":        {[]string{"a"}, []rules{{off(rule())}}, "nothing | nothing"},
		"Replaced":           {[]string{"a"}, []rules{{rule("b")}, {rule("envoy")}}, "envoy | envoy"},
		"OffAgain":           {nil, []rules{{rule("a")}, {off(rule())}}, "nothing | nothing"},
		"OffForOne":          {nil, []rules{{rule("a", "b")}, {rule("a", "b"), off(rule("a"))}}, "b | b"},
		"OneSide":            {nil, []rules{{on(rule("a"), model.Server)}}, "- | a"},
		"EachSide":           {nil, []rules{{on(rule("a"), model.Client), on(rule("b"), model.Server)}}, "a | b"},
		"OneSideOff":         {nil, []rules{{rule("a")}, {on(off(rule()), model.Client)}}, "nothing | a"},
		"Filter":             {nil, []rules{{only(rule("a"), "x")}}, "a:x | a:x"},
		"FilterOfTheNearest": {nil, []rules{{only(rule("a"), "x")}, {only(rule("a"), "y")}}, "a:y | a:y"},
		"Unknown":            {nil, []rules{{rule("missing")}}, "- | -"},
	} {
		t.Run(name, func(t *testing.T) {
			var chosen []*model.Telemetry
			for i, r := range c.chosen {
				chosen = append(chosen, telemetry("shop", fmt.Sprint(i), "", r...))
			}
			if d := cmp.Diff(c.want, said(&model.Settings{LogProviders: providers, Logs: c.defaults}, chosen)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestChoose: the oldest of the root namespace and of the namespace, then all that
// select the workload.
func TestChoose(t *testing.T) {
	r := model.LogRule{Providers: []string{"a"}}
	m := &model.Mesh{Settings: &model.Settings{RootNamespace: "root"}, Telemetries: []*model.Telemetry{
		telemetry("shop", "first", "app=web", r), telemetry("root", "oldest", "", r), telemetry("root", "younger", "", r), telemetry("root", "narrow", "app=web", r),
		telemetry("shop", "whole", "", r), telemetry("bank", "whole", "", r), telemetry("shop", "other", "app=db", r), telemetry("shop", "second", "app=web", r),
	}}
	for name, c := range map[string]struct {
		of   policy.Guarded
		want string
	}{
		"Workload":  {policy.Guarded{Namespace: "shop", Labels: map[string]string{"app": "web"}}, "oldest whole first second"},
		"Elsewhere": {policy.Guarded{Namespace: "bank"}, "oldest whole"},
		"Root":      {policy.Guarded{Namespace: "root", Labels: map[string]string{"app": "web"}}, "oldest narrow"},
		"Without":   {policy.Guarded{Namespace: "lone"}, "oldest"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, o := range Choose(m, c.of) {
				got = append(got, o.Name)
			}
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestListener: only what stands in for the mesh's logs changes a listener, and what
// its chains refuse is logged where connections come to first.
func TestListener(t *testing.T) {
	s := &model.Settings{LogProviders: providers, AccessLogPath: "/dev/stdout"}
	made := func(name string) *envoy.Resource {
		l := &listenerv3.Listener{Name: name, FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{
			envoy.HTTPManagerFilter(envoy.HTTPManager(s, "x")), envoy.TCPProxyFilter(envoy.TCPProxy(s, "x")),
		}}}}
		if name == "bound" {
			l.AccessLog = envoy.RefusedLog(s)
		}
		r, err := envoy.NewResource(name, l)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	rules := []*model.Telemetry{telemetry("shop", "t", "", model.LogRule{Providers: []string{"a"}, Side: model.Client, Filter: "true"})}
	for name, c := range map[string]struct {
		gateway bool
		rules   []*model.Telemetry
		logs    int
	}{
		envoy.VirtualOutbound: {rules: rules, logs: 1},
		"0.0.0.0_80":          {rules: rules},
		"bound":               {rules: rules, logs: 1},
		"gateway":             {gateway: true, rules: rules, logs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			was := made(name)
			if got, err := New(s, nil, c.gateway).Listener(was); err != nil || got != was {
				t.Errorf("without rules it changes: %v", err)
			}
			got, err := New(s, c.rules, c.gateway).Listener(was)
			if err != nil {
				t.Fatal(err)
			}
			m, err := got.Message()
			if err != nil {
				t.Fatal(err)
			}
			l := m.(*listenerv3.Listener)
			text := fmt.Sprint(l)
			if n := strings.Count(text, "extension_filters.cel"); n != 2+c.logs {
				t.Errorf("%d logs have the filter, want %d", n, 2+c.logs)
			}
			if c.logs > 0 && len(l.GetAccessLog()) != 1 {
				t.Errorf("its own logs are %v", l.GetAccessLog())
			}
		})
	}
}
