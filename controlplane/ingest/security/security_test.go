// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var update = flag.Bool("update", false, "write what is told into testdata")

var settings = &model.Settings{TrustDomain: "east.example", RootNamespace: "istio-system", Providers: []model.Provider{{Name: "opa", GRPC: true}}}

// read objects of both kinds.
func read(t testing.TB, text string) security.Input {
	t.Helper()
	in := security.Input{Settings: settings}
	for i, doc := range strings.Split(text, "\n---\n") {
		var head struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind == "RequestAuthentication" {
			o := &securityv1.RequestAuthentication{}
			if err := yaml.Unmarshal([]byte(doc), o); err != nil {
				t.Fatal(err)
			}
			o.Namespace, o.Name = "shop", fmt.Sprint("r", i)
			in.RequestAuthentications = append(in.RequestAuthentications, o)
			continue
		}
		o := &securityv1.AuthorizationPolicy{}
		if err := yaml.Unmarshal([]byte(doc), o); err != nil {
			t.Fatal(err)
		}
		o.Namespace, o.Name = "shop", fmt.Sprint("p", i)
		in.AuthorizationPolicies = append(in.AuthorizationPolicies, o)
	}
	return in
}

// TestProblems: each file of testdata has objects, then what is told of them:
// whether they stand, and each problem's field, reason and message.
func TestProblems(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/problems.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		objects, want := archive.Files[i], archive.Files[i+1]
		t.Run(objects.Name, func(t *testing.T) {
			out := security.Build(read(t, string(objects.Data)), nil)
			var got strings.Builder
			for _, a := range out.Authorizations {
				fmt.Fprintf(&got, "%s %v\n", a.Name, map[bool]string{true: "stands", false: "denies"}[a.Invalid == ""])
			}
			for _, a := range out.Authentications {
				for j, r := range a.Rules {
					fmt.Fprintf(&got, "%s rule %d %v\n", a.Name, j, map[bool]string{true: "has keys", false: "has none"}[r.Invalid == "" && r.JWKS != ""])
				}
			}
			for _, p := range out.Problems {
				fmt.Fprintf(&got, "%s: %s: %s\n", p.Field, p.Reason, p.Message)
			}
			archive.Files[i+1].Data = []byte(got.String())
			if d := cmp.Diff(string(want.Data), got.String()); d != "" && !*update {
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

// TestKeySets: keys come from the rule or from what was fetched, without private
// parts, and from nowhere else.
func TestKeySets(t *testing.T) {
	// RFC 7517, appendix A.1 and A.2: an EC key, public and private.
	const public = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"`
	in := read(t, `kind: RequestAuthentication
spec:
  jwtRules:
  - {issuer: a, jwks: '{"keys":[`+public+`,"kid":"1","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"},{"kty":"none"}]}'}
  - {issuer: b, jwksUri: "https://b.example/keys", timeout: 3s}
  - {issuer: b2, jwksUri: "https://b.example/keys"}
  - {issuer: "https://c.example/"}
  - {issuer: d, jwksUri: "https://d.example/keys"}`)
	in.JWKS = map[string]string{"https://b.example/keys": `{"keys":[` + public + `}]}`, "https://d.example/keys": "<html>"}
	in.JWKSFailures = map[string]string{"https://c.example/.well-known/openid-configuration": "it doesn't answer in time"}
	out := security.Build(in, nil)
	rules := out.Authentications[0].Rules
	if strings.Contains(rules[0].JWKS, `"d"`) || !strings.Contains(rules[0].JWKS, `"kid":"1"`) || strings.Contains(rules[0].JWKS, "none") {
		t.Errorf("%s", rules[0].JWKS)
	}
	if rules[1].JWKS == "" || rules[2].JWKS != rules[1].JWKS || rules[3].JWKS != "" || rules[4].JWKS != "" {
		t.Errorf("%+v", rules)
	}
	wanted := []security.Wanted{
		{URI: "https://b.example/keys", Timeout: 3 * time.Second},
		{URI: "https://c.example/.well-known/openid-configuration"},
		{URI: "https://d.example/keys"},
	}
	if d := cmp.Diff(wanted, out.Wanted); d != "" {
		t.Error(d)
	}
	if len(out.Problems) != 2 || out.Problems[0].Field != "spec.jwtRules[3].issuer" || out.Problems[1].Field != "spec.jwtRules[4].jwksUri" {
		t.Errorf("%+v", out.Problems)
	}
	if again := security.Build(in, out); again != out {
		t.Error("the same input gives another output")
	}
}

// TestPointersStay: only what changed is new.
func TestPointersStay(t *testing.T) {
	in := read(t, "spec: {}\n---\nspec: {rules: [{}]}\n---\nkind: RequestAuthentication\nspec: {jwtRules: [{issuer: a}]}")
	first := security.Build(in, nil)
	next := read(t, "spec: {}\n---\nspec: {action: DENY, rules: [{}]}\n---\nkind: RequestAuthentication\nspec: {jwtRules: [{issuer: a}]}")
	second := security.Build(next, first)
	if first.Authorizations[0] != second.Authorizations[0] || first.Authorizations[1] == second.Authorizations[1] || first.Authentications[0] != second.Authentications[0] {
		t.Error("what changed and what didn't are mixed up")
	}
}
