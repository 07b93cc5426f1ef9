// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"math/rand/v2"
	"strings"

	api "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
)

// Hostile values: names with every character that means something to a regular
// expression, a URI, a header or a path.
var Hostile = []string{
	"a.b", "a+b", "a(b", "a)b", "a[b", "a]b", "a{b", "a}b", "a|b", "a^b", "a$b", `a\b`, "a?b", "a*b", ".*", ".+", "(.*)", "[^/]+", `\Q`, `\E`, `a\Eb`,
	"(?i)a", "a\nb", "a b", "a/b", "//", "/", "spiffe://", "\u00e9", "\u200b", "a,b", "a=b", "a:b", "%2F", "%00", "a\x00b", "\xff", "ns/", "x/ns/y/sa/z",
	"${x}", "%REQ(x)%", "a\"b", "a'b", "--", "{*}", "{**}", "/{*}", "/a/{*}/b", "/a/{**}", "/a[b/{*}", "/é/{**}", "*", "a*", "*a", "**", "*a*",
}

// Random makes policies.
type Random struct{ *rand.Rand }

func (r Random) pick(from ...string) string { return from[r.IntN(len(from))] }

// value of a field, hostile at times.
func (r Random) value(usual ...string) string {
	v := r.pick(usual...)
	if r.IntN(4) == 0 {
		v = r.pick(Hostile...)
	}
	switch r.IntN(8) {
	case 0:
		return v + "*"
	case 1:
		return "*" + v
	}
	return v
}

func (r Random) values(usual ...string) []string {
	var out []string
	for range r.IntN(3) {
		out = append(out, r.value(usual...))
	}
	return out
}

func (r Random) source() *api.Source {
	s := &api.Source{}
	domains := []string{"east.example", "west.example", "cluster.local", "old.example"}
	principal := func() string {
		return r.pick(domains...) + "/ns/" + r.pick("shop", "pay") + "/sa/" + r.pick("cart", "till")
	}
	switch r.IntN(7) {
	case 0:
		s.Principals, s.NotPrincipals = r.values(principal(), principal()), r.values(principal())
	case 1:
		s.Namespaces, s.NotNamespaces = r.values("shop", "pay", "ns", "sa"), r.values("shop", "pay")
	case 2:
		s.ServiceAccounts, s.NotServiceAccounts = []string{r.pick("shop/cart", "cart", "pay/a.b", r.pick(Hostile...))}, nil
	case 3:
		s.TrustDomains, s.NotTrustDomains = r.values(domains...), r.values(domains...)
	case 4:
		s.IpBlocks, s.NotIpBlocks = []string{r.pick("10.0.0.0/8", "10.244.0.10", "::/0", "fd00::1", "0.0.0.0/0", "300.1.1.1", "::ffff:10.0.0.0/104")}, nil
	case 5:
		s.RequestPrincipals, s.NotRequestPrincipals = r.values("https://i.example/a", "*/a"), r.values("https://i.example/*")
	case 6:
		s.RemoteIpBlocks = []string{r.pick("10.0.0.0/8", "1.2.3.4")}
	}
	return s
}

func (r Random) operation() *api.Operation {
	o := &api.Operation{}
	switch r.IntN(4) {
	case 0:
		o.Hosts, o.NotHosts = r.values("a.example", "[::1]:80", "a.example:80"), r.values("b.example")
	case 1:
		o.Ports, o.NotPorts = []string{r.pick("80", "8080", "70000", "x")}, nil
	case 2:
		o.Methods, o.NotMethods = r.values("GET", "POST"), r.values("PUT")
	case 3:
		o.Paths, o.NotPaths = r.values("/", "/a", "/a/{*}", "/b/{**}"), r.values("/admin")
	}
	return o
}

func (r Random) condition() *api.Condition {
	key := r.pick("request.headers[x-a]", "request.headers[Host]", "request.headers[:path]", "source.ip", "remote.ip", "source.namespace", "source.principal",
		"source.serviceAccount", "source.trustDomain", "request.auth.principal", "request.auth.audiences", "request.auth.presenter",
		"request.auth.claims[a]", "request.auth.claims[a][b.c]", "destination.ip", "destination.port", "connection.sni",
		"experimental.envoy.filters.network.mysql_proxy[db.table]", "nonsense", "request.headers", "request.headers[x][y]", "request.auth.claims["+r.pick(Hostile...)+"]", "request.headers["+r.pick(Hostile...)+"]")
	usual := []string{"a", "b"}
	switch key {
	case "source.ip", "remote.ip", "destination.ip":
		usual = []string{"10.0.0.0/8", "10.0.0.1"}
	case "destination.port":
		usual = []string{"80"}
	}
	return &api.Condition{Key: key, Values: r.values(usual...), NotValues: r.values(usual...)}
}

// Policy that Istio's API could hold, and that Istio might refuse.
func (r Random) Policy(n int) *securityv1.AuthorizationPolicy {
	o := &securityv1.AuthorizationPolicy{}
	o.Name, o.Namespace = fmt.Sprint("p", n), r.pick("shop", "shop", "shop", "pay", "istio-system")
	o.Spec.Action = api.AuthorizationPolicy_Action(r.IntN(4))
	if r.IntN(4) == 0 {
		o.Spec.Selector = &typeapi.WorkloadSelector{MatchLabels: map[string]string{"app": r.pick("server", "server", "other")}}
	}
	if o.Spec.Action == api.AuthorizationPolicy_CUSTOM {
		o.Spec.ActionDetail = &api.AuthorizationPolicy_Provider{Provider: &api.AuthorizationPolicy_ExtensionProvider{Name: r.pick("grpc", "http", "nobody")}}
	}
	if r.IntN(10) == 0 {
		o.Annotations = map[string]string{"istio.io/dry-run": "true"}
	}
	for range r.IntN(3) {
		rule := &api.Rule{}
		for range r.IntN(3) {
			rule.From = append(rule.From, &api.Rule_From{Source: r.source()})
		}
		for range r.IntN(3) {
			rule.To = append(rule.To, &api.Rule_To{Operation: r.operation()})
		}
		for range r.IntN(3) {
			rule.When = append(rule.When, r.condition())
		}
		o.Spec.Rules = append(o.Spec.Rules, rule)
	}
	return o
}

// Tokens rule that Istio's API could hold, and that Istio might refuse.
func (r Random) Tokens(n int) *securityv1.RequestAuthentication {
	o := &securityv1.RequestAuthentication{}
	o.Name, o.Namespace = fmt.Sprint("r", n), "shop"
	utf8 := func(usual ...string) string { return strings.ToValidUTF8(r.value(usual...), "?") }
	maybe := func(usual ...string) []string {
		if r.IntN(2) == 0 {
			return nil
		}
		return []string{utf8(usual...)}
	}
	for range 1 + r.IntN(3) {
		rule := &api.JWTRule{
			Issuer: r.pick("https://i.example", "i", ""), Audiences: maybe("a"), FromParams: maybe("q"), FromCookies: maybe("c"),
			Jwks:                 r.pick(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, `{"keys":[]}`, "x", ""),
			SpaceDelimitedClaims: maybe("roles"), ForwardOriginalToken: r.IntN(2) == 0,
		}
		if r.IntN(2) == 0 {
			rule.FromHeaders = []*api.JWTHeader{{Name: utf8("x-token"), Prefix: utf8("t ", "")}}
		}
		if r.IntN(2) == 0 {
			rule.OutputPayloadToHeader = utf8("x-out")
			rule.OutputClaimToHeaders = []*api.ClaimToHeader{{Header: utf8("x-claim"), Claim: utf8("a", "a.b.c")}}
		}
		o.Spec.JwtRules = append(o.Spec.JwtRules, rule)
	}
	return o
}
