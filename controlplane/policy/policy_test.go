// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	api "istio.io/api/security/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	ingest "github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/policy/verdict"
	"github.com/isthmesh/isthmesh/test/security"
)

var settings = &model.Settings{
	TrustDomain: "east.example", TrustDomainAliases: []string{"old.example"}, RootNamespace: "istio-system",
	Providers: []model.Provider{{Name: "grpc", GRPC: true, Host: "a.shop.svc.cluster.local", Port: 9000}, {Name: "http", Host: "a.shop.svc.cluster.local", Port: 80}},
}

var server = policy.Guarded{Namespace: "shop", Labels: map[string]string{"app": "server"}}

// chosen policies of objects, for the workload of these tests.
func chosen(objects ...*securityv1.AuthorizationPolicy) *policy.Chosen {
	tokens := &securityv1.RequestAuthentication{}
	tokens.Namespace, tokens.Spec.JwtRules = "shop", []*api.JWTRule{{Issuer: "i"}}
	out := ingest.Build(ingest.Input{
		AuthorizationPolicies: objects, RequestAuthentications: []*securityv1.RequestAuthentication{tokens}, Settings: settings,
	}, nil)
	return policy.Choose(&model.Mesh{Settings: settings, Authorizations: out.Authorizations, Authentications: out.Authentications}, server, nil)
}

func object(name string, action api.AuthorizationPolicy_Action, rules ...*api.Rule) *securityv1.AuthorizationPolicy {
	o := &securityv1.AuthorizationPolicy{}
	o.Namespace, o.Name, o.Spec.Action, o.Spec.Rules = "shop", name, action, rules
	return o
}

func from(s *api.Source) *api.Rule {
	return &api.Rule{From: []*api.Rule_From{{Source: s}}}
}

func to(o *api.Operation) *api.Rule { return &api.Rule{To: []*api.Rule_To{{Operation: o}}} }

func call() verdict.Call {
	return verdict.Call{
		Peer: "spiffe://east.example/ns/shop/sa/cart", Source: netip.MustParseAddr("10.244.0.10"), Destination: netip.MustParseAddrPort("10.244.0.20:8080"),
		Host: "server", Method: "GET", Path: "/", Headers: map[string][]string{},
	}
}

// TestLiteralNamesMatchOnlyThemselves: whatever characters a name has, it is no
// pattern (CVE-2026-39350, istio #59992).
func TestLiteralNamesMatchOnlyThemselves(t *testing.T) {
	identity := func(domain, ns, account string) func(*verdict.Call) {
		return func(c *verdict.Call) { c.Peer = "spiffe://" + domain + "/ns/" + ns + "/sa/" + account }
	}
	for field, test := range map[string]struct {
		rule func(string) *api.Rule
		call func(string) func(*verdict.Call)
	}{
		"Principal": {func(n string) *api.Rule {
			return from(&api.Source{Principals: []string{"east.example/ns/shop/sa/" + n}})
		}, func(n string) func(*verdict.Call) { return identity("east.example", "shop", n) }},
		"OwnPrincipal": {func(n string) *api.Rule {
			return from(&api.Source{Principals: []string{"cluster.local/ns/" + n + "/sa/x"}})
		}, func(n string) func(*verdict.Call) { return identity("old.example", n, "x") }},
		"Namespace":      {func(n string) *api.Rule { return from(&api.Source{Namespaces: []string{n}}) }, func(n string) func(*verdict.Call) { return identity("east.example", n, "x") }},
		"ServiceAccount": {func(n string) *api.Rule { return from(&api.Source{ServiceAccounts: []string{"shop/" + n}}) }, func(n string) func(*verdict.Call) { return identity("east.example", "shop", n) }},
		"TrustDomain":    {func(n string) *api.Rule { return from(&api.Source{TrustDomains: []string{n}}) }, func(n string) func(*verdict.Call) { return identity(n, "shop", "x") }},
		"Path":           {func(n string) *api.Rule { return to(&api.Operation{Paths: []string{"/" + n}}) }, func(n string) func(*verdict.Call) { return func(c *verdict.Call) { c.Path = "/" + n } }},
		"Method":         {func(n string) *api.Rule { return to(&api.Operation{Methods: []string{n}}) }, func(n string) func(*verdict.Call) { return func(c *verdict.Call) { c.Method = n } }},
		"Host":           {func(n string) *api.Rule { return to(&api.Operation{Hosts: []string{n}}) }, func(n string) func(*verdict.Call) { return func(c *verdict.Call) { c.Host = n } }},
		"Header": {
			func(n string) *api.Rule {
				return &api.Rule{When: []*api.Condition{{Key: "request.headers[x]", Values: []string{n}}}}
			},
			func(n string) func(*verdict.Call) {
				return func(c *verdict.Call) { c.Headers = map[string][]string{"x": {n}} }
			},
		},
		"Claim": {
			func(n string) *api.Rule {
				return &api.Rule{When: []*api.Condition{{Key: "request.auth.claims[x]", Values: []string{n}}}}
			},
			func(n string) func(*verdict.Call) {
				return func(c *verdict.Call) { c.Claims = map[string]any{"x": n} }
			},
		},
		"Audience": {
			func(n string) *api.Rule {
				return &api.Rule{When: []*api.Condition{{Key: "request.auth.audiences", Values: []string{n}}}}
			},
			func(n string) func(*verdict.Call) {
				return func(c *verdict.Call) { c.Claims = map[string]any{"aud": []any{"other one", n}} }
			},
		},
		"ServerName": {
			func(n string) *api.Rule {
				return &api.Rule{When: []*api.Condition{{Key: "connection.sni", Values: []string{n}}}}
			},
			func(n string) func(*verdict.Call) {
				return func(c *verdict.Call) { c.ServerName = strings.ToLower(n) }
			},
		},
		"RequestPrincipal": {
			func(n string) *api.Rule { return from(&api.Source{RequestPrincipals: []string{"i/" + n}}) },
			func(n string) func(*verdict.Call) {
				return func(c *verdict.Call) { c.Claims = map[string]any{"iss": "i", "sub": n} }
			},
		},
	} {
		t.Run(field, func(t *testing.T) {
			names := literal(field)
			for _, name := range names {
				for _, action := range []api.AuthorizationPolicy_Action{api.AuthorizationPolicy_ALLOW, api.AuthorizationPolicy_DENY} {
					filters := policy.HTTP(settings, chosen(object("p", action, test.rule(name))))
					for _, other := range names {
						c := call()
						test.call(other)(&c)
						same := name == other || (field == "Host" || field == "ServerName") && strings.EqualFold(name, other)
						if got := verdict.HTTP(filters, c); got.Allowed != (same == (action == api.AuthorizationPolicy_ALLOW)) && !joined(field, action, name, other) {
							t.Errorf("%v %s %q, call with %q: %+v", action, field, name, other, got)
						}
					}
				}
			}
		})
	}
}

// literal names for a field: without wildcards, and without what ends the field.
func literal(field string) []string {
	out := []string{"axb", "aab", "a", "b", "axxb", "anything"}
	for _, n := range security.Hostile {
		wild := strings.HasPrefix(n, "*") || strings.HasSuffix(n, "*")
		inIdentity := slices.Contains([]string{"Principal", "OwnPrincipal", "Namespace", "ServiceAccount", "TrustDomain"}, field)
		switch {
		case wild || !utf8.ValidString(n) || strings.Contains(n, "{*}") || strings.Contains(n, "{**}"):
		case (field == "ServiceAccount" || field == "TrustDomain") && strings.Contains(n, "*"):
		case field == "Path" && strings.Contains(n, "?"):
		case field == "Host" && (strings.HasSuffix(n, ":") || strings.HasSuffix(n, ".")):
		case inIdentity && strings.Contains(n, "/"):
		default:
			out = append(out, n)
		}
	}
	return out
}

// joined is true where DENY reads a list of values: a,b holds a and b.
func joined(field string, action api.AuthorizationPolicy_Action, name, other string) bool {
	return field == "Header" && action == api.AuthorizationPolicy_DENY && strings.Contains(","+other+",", ","+name+",")
}

// wire form of all filters.
func wire(t testing.TB, c *policy.Chosen) []string {
	t.Helper()
	var out []string
	for _, f := range policy.HTTP(settings, c) {
		r, err := envoy.NewResource("x", f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f.GetName()+" "+r.Version)
	}
	for _, f := range policy.TCP(settings, c) {
		r, err := envoy.NewResource("x", f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f.GetName()+" "+r.Version)
	}
	return out
}

// TestInvalidPoliciesDeny: what can't be translated denies what it was to guard.
func TestInvalidPoliciesDeny(t *testing.T) {
	unknown := &api.Rule{When: []*api.Condition{{Key: "nonsense", Values: []string{"x"}}}}
	custom := object("custom", api.AuthorizationPolicy_CUSTOM, &api.Rule{})
	other := object("allow-all", api.AuthorizationPolicy_ALLOW, &api.Rule{})
	for name, test := range map[string]struct {
		objects []*securityv1.AuthorizationPolicy
		allowed bool
	}{
		"Allow":             {[]*securityv1.AuthorizationPolicy{object("p", api.AuthorizationPolicy_ALLOW, unknown)}, false},
		"AllowBesideAllow":  {[]*securityv1.AuthorizationPolicy{object("p", api.AuthorizationPolicy_ALLOW, unknown), other}, true},
		"Deny":              {[]*securityv1.AuthorizationPolicy{object("p", api.AuthorizationPolicy_DENY, unknown)}, false},
		"DenyBesideAllow":   {[]*securityv1.AuthorizationPolicy{object("p", api.AuthorizationPolicy_DENY, unknown), other}, false},
		"CustomNoProvider":  {[]*securityv1.AuthorizationPolicy{custom, other}, false},
		"Audit":             {[]*securityv1.AuthorizationPolicy{object("p", api.AuthorizationPolicy_AUDIT, unknown)}, true},
		"UnknownAction":     {[]*securityv1.AuthorizationPolicy{object("p", 17, &api.Rule{})}, false},
		"EmptySourceInDeny": {[]*securityv1.AuthorizationPolicy{object("p", api.AuthorizationPolicy_DENY, from(&api.Source{}))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := chosen(test.objects...)
			if got := verdict.HTTP(policy.HTTP(settings, c), call()); got.Allowed != test.allowed {
				t.Errorf("HTTP: %+v", got)
			}
			if got := verdict.TCP(policy.TCP(settings, c), call()); got.Allowed != test.allowed {
				t.Errorf("TCP: %+v", got)
			}
		})
	}
}

// TestNoKey finds the key of NoKey again: the hash of a phrase that names its
// purpose is the point's x, so nobody chose it.
func TestNoKey(t *testing.T) {
	p := elliptic.P256().Params()
	for i := range 100 {
		sum := sha256.Sum256(fmt.Appendf(nil, "isthmesh: no key is known here %d", i))
		x := new(big.Int).SetBytes(sum[:])
		square := new(big.Int).Exp(x, big.NewInt(3), p.P)
		square.Sub(square, new(big.Int).Mul(x, big.NewInt(3))).Add(square, p.B).Mod(square, p.P)
		y := new(big.Int).ModSqrt(square, p.P)
		if x.Cmp(p.P) >= 0 || y == nil {
			continue
		}
		if y.Bit(0) == 1 {
			y.Sub(p.P, y)
		}
		coordinate := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32))) }
		if want := fmt.Sprintf(`"x":%q,"y":%q`, coordinate(x), coordinate(y)); !strings.Contains(policy.NoKey, want) {
			t.Errorf("want %s in %s", want, policy.NoKey)
		}
		return
	}
	t.Error("no point was found")
}

// FuzzPolicy: no policy makes the translators panic, vary, or let in whom
// another one denies.
func FuzzPolicy(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed, "a.b", "x-role")
	}
	f.Fuzz(func(t *testing.T, seed uint64, value, key string) {
		r := security.Random{Rand: rand.New(rand.NewPCG(seed, 7))}
		o := r.Policy(0)
		o.Spec.Rules = append(o.Spec.Rules,
			from(&api.Source{Namespaces: []string{value}, NotPrincipals: []string{value}}), to(&api.Operation{Paths: []string{value}, NotHosts: []string{value}}),
			&api.Rule{When: []*api.Condition{{Key: key, Values: []string{value}}, {Key: "request.headers[" + key + "]", NotValues: []string{value}}}})
		all := object("deny-all", api.AuthorizationPolicy_DENY, &api.Rule{})
		c := chosen(o, all)
		if d := cmp.Diff(wire(t, c), wire(t, chosen(all, o))); d != "" {
			t.Error(d)
		}
		if got := verdict.HTTP(policy.HTTP(settings, c), call()); got.Allowed {
			t.Errorf("%+v", got)
		}
		if got := verdict.TCP(policy.TCP(settings, c), call()); got.Allowed {
			t.Errorf("%+v", got)
		}
	})
}
