// SPDX-License-Identifier: Apache-2.0

package ratelimit_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest/ratelimit"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var update = flag.Bool("update", false, "write what is told into testdata")

var settings = &model.Settings{TrustDomain: "east.example", RootNamespace: "istio-system", DomainSuffix: "cluster.local"}

func policyOf(t testing.TB, name, spec string) *v1alpha1.RateLimitPolicy {
	t.Helper()
	o := &v1alpha1.RateLimitPolicy{}
	if err := yaml.UnmarshalStrict([]byte(spec), &o.Spec); err != nil {
		t.Fatal(err)
	}
	o.Namespace, o.Name = "shop", name
	return o
}

func inputOf(policies ...*v1alpha1.RateLimitPolicy) ratelimit.Input {
	return ratelimit.Input{Policies: policies, Settings: settings, Hostnames: []model.Hostname{"limits.shop.svc.cluster.local"}}
}

// TestProblems: specs, and whether they are in force and what is told of them.
func TestProblems(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/problems.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		spec, want := archive.Files[i], archive.Files[i+1]
		t.Run(spec.Name, func(t *testing.T) {
			out := ratelimit.Build(inputOf(policyOf(t, "p", string(spec.Data))), nil)
			got := fmt.Sprintf("in force: %v\n", len(out.Limits) == 1)
			for _, p := range out.Problems {
				got += fmt.Sprintf("%s: %s: %s\n", p.Field, p.Reason, p.Message)
			}
			archive.Files[i+1].Data = []byte(got)
			if d := cmp.Diff(string(want.Data), got); d != "" && !*update {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
	if *update {
		if err := os.WriteFile("testdata/problems.txtar", txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOthersStay: a policy that can't be had takes no other one with it, whichever
// comes first.
func TestOthersStay(t *testing.T) {
	good := `rules: [{name: a, limit: {requests: 5, per: Minute}}]`
	bad := map[string]string{
		"no-rules": `rules: []`,
		"scope":    good + "\nscope: Everywhere",
		"mode":     good + "\nmode: Never",
		"match":    `rules: [{name: a, when: [{key: nothing.known, values: [x]}], limit: {requests: 5, per: Minute}}]`,
	}
	for name, spec := range bad {
		t.Run(name, func(t *testing.T) {
			out := ratelimit.Build(inputOf(policyOf(t, "before", good), policyOf(t, name, spec), policyOf(t, "later", good)), nil)
			var got, told []string
			for _, l := range out.Limits {
				got = append(got, l.Name)
			}
			for _, p := range out.Problems {
				told = append(told, p.Name)
			}
			slices.Sort(got)
			if d := cmp.Diff([]string{"before", "later"}, got); d != "" {
				t.Errorf("in force (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]string{name}, slices.Compact(told)); d != "" {
				t.Errorf("told of (-want +got):\n%s", d)
			}
		})
	}
}

const whole = `
targetRefs: [{kind: Service, name: web}, {group: gateway.networking.k8s.io, kind: Gateway, name: front}]
mode: Shadow
scope: Mesh
service: {host: Limits.shop.svc.cluster.local., port: 8081, domain: d, failureMode: Deny, timeout: 50ms}
response: {status: 503, headers: [{name: X-A, value: b}], rateLimitHeaders: DraftVersion03}
rules:
- name: a
  from: [{source: {serviceAccounts: [web]}}]
  to: [{operation: {paths: [/a]}}]
  when: [{key: source.namespace, values: [b]}]
  limit: {requests: 5, per: Day}
  keys: [source.principal, remote.ip, request.path, request.method, request.host, "request.headers[X-B]", "request.auth.claims[a][b]"]
`

// TestRead: all that a policy says is in the model, and what it doesn't say has its default.
func TestRead(t *testing.T) {
	in := inputOf(policyOf(t, "whole", whole), policyOf(t, "least", `rules: [{name: a, limit: {requests: 5, per: Minute}}]`))
	out := ratelimit.Build(in, nil)
	origin := func(name string) model.Origin {
		return model.Origin{Kind: ratelimit.Kind, Namespace: "shop", Name: name, CreatedUnix: in.Policies[0].CreationTimestamp.Unix()}
	}
	want := []*model.RateLimit{
		{
			Origin: origin("least"), Counters: 10000, Status: 429,
			Rules: []model.RateRule{{Name: "a", Requests: 5, Burst: 5, Unit: model.PerMinute}},
		},
		{
			Origin: origin("whole"), Shadow: true, Status: 503, Headers: []model.Header{{Name: "x-a", Value: "b"}}, TellLimits: true,
			Target:  model.Target{Refs: []model.TargetRef{{Kind: "Service", Name: "web"}, {Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: "front"}}},
			Service: &model.RateService{Host: "limits.shop.svc.cluster.local", Port: 8081, Domain: "d", Deny: true, TimeoutMillis: 50},
			Rules: []model.RateRule{{
				Name: "a", Requests: 5, Unit: model.PerDay,
				Match: model.AuthorizationRule{
					From: []model.Source{{ServiceAccounts: model.Values{In: []string{"shop/web"}}}},
					To:   []model.Operation{{Paths: model.Values{In: []string{"/a"}}}},
					When: []model.Condition{{Key: "source.namespace", Values: model.Values{In: []string{"b"}}}},
				},
				Keys: []model.RateKey{
					{Kind: model.KeyPrincipal},
					{Kind: model.KeyAddress},
					{Kind: model.KeyPath},
					{Kind: model.KeyMethod},
					{Kind: model.KeyHost},
					{Kind: model.KeyHeader, Path: []string{"x-b"}},
					{Kind: model.KeyClaim, Path: []string{"a", "b"}},
				},
			}},
		},
	}
	if diff := cmp.Diff(want, out.Limits); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(out.Problems) > 0 {
		t.Errorf("%+v", out.Problems)
	}
	again := inputOf(policyOf(t, "whole", whole), policyOf(t, "least", `rules: [{name: a, limit: {requests: 6, per: Minute}}]`))
	next := ratelimit.Build(again, out)
	if next.Limits[1] != out.Limits[1] || next.Limits[0] == out.Limits[0] {
		t.Error("what is the same has another pointer, or what changed has the same")
	}
	if ratelimit.Build(again, next) != next {
		t.Error("the same input makes another output")
	}
}
