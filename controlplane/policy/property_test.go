// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	api "istio.io/api/security/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"

	ingest "github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/policy/verdict"
	"github.com/isthmesh/isthmesh/test/security"
)

// random calls, of values that random policies have.
func random(r security.Random) verdict.Call {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	c := verdict.Call{
		Source: netip.MustParseAddr(pick("10.244.0.10", "192.0.2.1", "fd00::1")), Destination: netip.MustParseAddrPort(pick("10.244.0.20:80", "10.244.0.20:8080")),
		ServerName: pick("", "a", "b"), Host: pick("a.example", "b.example", "a.example:80", "other"), Method: pick("GET", "POST", "PUT"),
		Path: pick("/", "/a", "/a/x", "/b/x/y", "/admin"), Headers: map[string][]string{},
	}
	if r.IntN(4) > 0 {
		c.Peer = "spiffe://" + pick("east.example", "west.example", "old.example") + "/ns/" + pick("shop", "pay") + "/sa/" + pick("cart", "till", "a.b")
	}
	if r.IntN(2) > 0 {
		c.Headers["x-a"] = []string{pick("a", "b", "ab")}
	}
	if r.IntN(2) > 0 {
		c.Claims = map[string]any{"iss": "https://i.example", "sub": pick("a", "b"), "aud": pick("a", "b"), "a": pick("a", "b")}
	}
	return c
}

// judged over HTTP and over TCP.
func judged(c *policy.Chosen, call verdict.Call) (http, tcp verdict.Verdict) {
	return verdict.HTTP(policy.HTTP(settings, c), call), verdict.TCP(policy.TCP(settings, c), call)
}

// TestDenyNeverAllowsMore adds a DENY policy to random ones, at any place among
// them: no call is let in that wasn't before. Of 20 calls under each some must
// be let in before, and fewer after, or the test would tell nothing.
func TestDenyNeverAllowsMore(t *testing.T) {
	r := security.Random{Rand: rand.New(rand.NewPCG(3, 4))}
	letIn, refused := 0, 0
	for n := range 300 {
		objects := []*securityv1.AuthorizationPolicy{r.Policy(n), r.Policy(n + 10000)}
		more := r.Policy(n + 20000)
		more.Spec.Action, more.Spec.ActionDetail = api.AuthorizationPolicy_DENY, nil
		before, after := chosen(objects...), chosen(slices.Insert(slices.Clone(objects), r.IntN(3), more)...)
		for range 20 {
			c := random(r)
			http, tcp := judged(before, c)
			nowHTTP, nowTCP := judged(after, c)
			for _, p := range [][2]verdict.Verdict{{http, nowHTTP}, {tcp, nowTCP}} {
				switch was, is := p[0], p[1]; {
				case !was.Allowed && is.Allowed:
					t.Fatalf("%v: %+v is denied before, allowed after: %v", more, c, is)
				case was.Allowed && len(is.Asks) < len(was.Asks) && is.Allowed:
					t.Fatalf("%v: %+v is asked of %v before, of %v after", more, c, was.Asks, is.Asks)
				case was.Allowed:
					letIn++
					if !is.Allowed {
						refused++
					}
				}
			}
		}
	}
	if letIn < 1000 || refused < 100 {
		t.Errorf("%d calls were let in, and %d of them refused by one DENY more: too few to tell", letIn, refused)
	}
}

// TestOrderChangesNothing: the same objects in any order give the same bytes.
func TestOrderChangesNothing(t *testing.T) {
	r := security.Random{Rand: rand.New(rand.NewPCG(5, 6))}
	for n := range 200 {
		var policies []*securityv1.AuthorizationPolicy
		var tokens []*securityv1.RequestAuthentication
		for i := range 6 {
			policies = append(policies, r.Policy(n*6+i))
			tokens = append(tokens, r.Tokens(n*6+i))
		}
		build := func() []string {
			out := ingest.Build(ingest.Input{AuthorizationPolicies: policies, RequestAuthentications: tokens, Settings: settings}, nil)
			return wire(t, policy.Choose(&model.Mesh{Settings: settings, Authorizations: out.Authorizations, Authentications: out.Authentications}, server, nil))
		}
		want := build()
		r.Shuffle(len(policies), func(i, j int) { policies[i], policies[j] = policies[j], policies[i] })
		r.Shuffle(len(tokens), func(i, j int) { tokens[i], tokens[j] = tokens[j], tokens[i] })
		if d := cmp.Diff(want, build()); d != "" {
			t.Fatal(d)
		}
	}
}

// TestUntranslatablePoliciesDenyAndSaySo: a policy that can't be had refuses
// every call to what it is for, and its object is told which field is why.
func TestUntranslatablePoliciesDenyAndSaySo(t *testing.T) {
	r := security.Random{Rand: rand.New(rand.NewPCG(9, 10))}
	seen := map[model.AuthorizationAction]int{}
	for n := range 1500 {
		o := r.Policy(n)
		o.Namespace, o.Annotations = "shop", nil
		o.Spec.Selector = nil
		out := ingest.Build(ingest.Input{AuthorizationPolicies: []*securityv1.AuthorizationPolicy{o}, Settings: settings}, nil)
		a := out.Authorizations[0]
		if a.Invalid == "" {
			continue
		}
		seen[a.Action]++
		if !slices.ContainsFunc(out.Problems, func(p model.Problem) bool {
			return p.Kind == "AuthorizationPolicy" && p.Namespace == "shop" && p.Name == o.Name && strings.HasPrefix(p.Field, "spec") && p.Reason != "" && p.Message != ""
		}) {
			t.Errorf("%v is not to be had, and nobody says why: %v", o, out.Problems)
		}
		if a.Action == model.Audit {
			continue // it decides nothing
		}
		c := policy.Choose(&model.Mesh{Settings: settings, Authorizations: out.Authorizations}, server, nil)
		for range 10 {
			call := random(r)
			if http, tcp := judged(c, call); http.Allowed || tcp.Allowed {
				t.Fatalf("%v is not to be had, and lets in %+v: %+v %+v", o, call, http, tcp)
			}
		}
	}
	for _, action := range []model.AuthorizationAction{model.Allow, model.Deny, model.Custom} {
		if seen[action] < 20 {
			t.Errorf("only %d policies of action %v could not be had", seen[action], action)
		}
	}
}

// TestPatternsAreLiteralButForTheirStar: what stands before or after the star of
// a pattern is no pattern either, whatever characters it has.
func TestPatternsAreLiteralButForTheirStar(t *testing.T) {
	peer := func(domain, ns, account string) func(*verdict.Call) {
		return func(c *verdict.Call) { c.Peer = "spiffe://" + domain + "/ns/" + ns + "/sa/" + account }
	}
	for field, test := range map[string]struct {
		rule func(pattern string) *api.Rule
		call func(string) func(*verdict.Call)
	}{
		"Namespace": {func(p string) *api.Rule { return from(&api.Source{Namespaces: []string{p}}) }, func(n string) func(*verdict.Call) { return peer("east.example", n, "x") }},
		"Method":    {func(p string) *api.Rule { return to(&api.Operation{Methods: []string{p}}) }, func(n string) func(*verdict.Call) { return func(c *verdict.Call) { c.Method = n } }},
		"Path":      {func(p string) *api.Rule { return to(&api.Operation{Paths: []string{p}}) }, func(n string) func(*verdict.Call) { return func(c *verdict.Call) { c.Path = n } }},
		"Header": {
			func(p string) *api.Rule {
				return &api.Rule{When: []*api.Condition{{Key: "request.headers[x]", Values: []string{p}}}}
			},
			func(n string) func(*verdict.Call) {
				return func(c *verdict.Call) { c.Headers = map[string][]string{"x": {n}} }
			},
		},
		"Claim": {
			func(p string) *api.Rule {
				return &api.Rule{When: []*api.Condition{{Key: "request.auth.claims[x]", Values: []string{p}}}}
			},
			func(n string) func(*verdict.Call) {
				return func(c *verdict.Call) { c.Claims = map[string]any{"x": n} }
			},
		},
		"Presenter": {
			func(p string) *api.Rule {
				return &api.Rule{When: []*api.Condition{{Key: "request.auth.presenter", Values: []string{p}}}}
			},
			func(n string) func(*verdict.Call) {
				return func(c *verdict.Call) { c.Claims = map[string]any{"azp": n} }
			},
		},
	} {
		t.Run(field, func(t *testing.T) {
			names := literal(field)
			for _, name := range names {
				for pattern, like := range map[string]func(string, string) bool{name + "*": strings.HasPrefix, "*" + name: strings.HasSuffix} {
					filters := policy.HTTP(settings, chosen(object("p", api.AuthorizationPolicy_ALLOW, test.rule(pattern))))
					for _, other := range names {
						c := call()
						test.call(other)(&c)
						if got := verdict.HTTP(filters, c); got.Allowed != like(other, name) {
							t.Errorf("%s %q, call with %q: %+v", field, pattern, other, got)
						}
					}
				}
			}
		})
	}
}
