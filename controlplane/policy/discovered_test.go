// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	api "istio.io/api/security/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/test/security"
)

// bare policies of objects, without one about tokens.
func bare(objects ...*securityv1.AuthorizationPolicy) *policy.Chosen {
	c := chosen(objects...).Authorizations
	return policy.Choose(&model.Mesh{Settings: settings, Authorizations: c}, server, nil)
}

// names of the filters that listeners have, of requests and of connections.
func names(c *policy.Chosen) (http, tcp string) {
	f := policy.Discovered(settings, c)
	var of [2][]string
	for _, h := range f.HTTP() {
		of[0] = append(of[0], strings.TrimPrefix(h.GetName(), envoy.Authorizations))
	}
	for _, t := range f.TCP() {
		of[1] = append(of[1], strings.TrimPrefix(t.GetName(), envoy.Authorizations))
	}
	return strings.Join(of[0], " "), strings.Join(of[1], " ")
}

// TestNamesOfRules: of requests a name stays whatever the rules are, unless what
// stands in the listener is another; of connections it tells the rules.
func TestNamesOfRules(t *testing.T) {
	allow := func(path string) *securityv1.AuthorizationPolicy {
		return object("p", api.AuthorizationPolicy_ALLOW, to(&api.Operation{Paths: []string{path}}))
	}
	deny := func(port string) *securityv1.AuthorizationPolicy {
		return object("d", api.AuthorizationPolicy_DENY, to(&api.Operation{Ports: []string{port}}))
	}
	audit := object("a", api.AuthorizationPolicy_AUDIT, &api.Rule{})
	ask := object("c", api.AuthorizationPolicy_CUSTOM, &api.Rule{})
	ask.Spec.ActionDetail = &api.AuthorizationPolicy_Provider{Provider: &api.AuthorizationPolicy_ExtensionProvider{Name: "grpc"}}
	for name, test := range map[string]struct {
		a, b              *policy.Chosen
		sameHTTP, sameTCP bool
		http, tcp         string // of b, with its fingerprints left out
	}{
		"First":        {bare(), bare(deny("80")), true, false, "http.deny http.allow", "tcp.deny"},
		"Last":         {bare(deny("80")), bare(), true, false, "http.deny http.allow", ""},
		"OtherPath":    {bare(allow("/a")), bare(allow("/b")), true, true, "http.deny http.allow", "tcp.allow"},
		"OtherPort":    {bare(deny("80")), bare(deny("81")), true, false, "http.deny http.allow", "tcp.deny"},
		"Audit":        {bare(deny("80")), bare(deny("80"), audit), false, false, "http.audit http.deny http.allow", "tcp.audit tcp.deny"},
		"Tokens":       {bare(deny("80")), chosen(deny("80")), false, true, "envoy.filters.http.jwt_authn http.deny http.allow", "tcp.deny"},
		"AskedAndDeny": {bare(deny("80")), bare(deny("80"), ask), false, false, "http.ask.grpc envoy.filters.http.ext_authz http.deny http.allow", "tcp.ask.grpc envoy.filters.network.ext_authz tcp.deny"},
	} {
		t.Run(name, func(t *testing.T) {
			http, tcp := names(test.a)
			nextHTTP, nextTCP := names(test.b)
			if (http == nextHTTP) != test.sameHTTP || (tcp == nextTCP) != test.sameTCP {
				t.Errorf("before %s; %s\nafter %s; %s", http, tcp, nextHTTP, nextTCP)
			}
			if plain(nextHTTP) != test.http || plain(nextTCP) != test.tcp {
				t.Errorf("%s; %s", nextHTTP, nextTCP)
			}
			for _, n := range strings.Fields(http) {
				if strings.HasPrefix(n, "http.deny") && test.sameHTTP != strings.Contains(" "+nextHTTP+" ", " "+n+" ") && name != "Audit" {
					t.Errorf("%s is in %s", n, nextHTTP)
				}
			}
		})
	}
}

// plain names are without fingerprints.
func plain(names string) string {
	var out []string
	for _, n := range strings.Fields(names) {
		n, _, _ = strings.Cut(n, "@")
		out = append(out, n)
	}
	return strings.Join(out, " ")
}

// TestDiscoveredSaysTheSame: the filters of listeners, with what they discover,
// are the whole filters, but for those that decide nothing.
func TestDiscoveredSaysTheSame(t *testing.T) {
	r := security.Random{Rand: rand.New(rand.NewPCG(8, 9))}
	for n := range 60 {
		c := chosen(r.Policy(3*n), r.Policy(3*n+1), r.Policy(3*n+2))
		f := policy.Discovered(settings, c)
		var got, want [][]byte
		take := func(name string, inside *anypb.Any, source *corev3.ExtensionConfigSource) {
			config := inside
			if source != nil {
				if source.GetDefaultConfig() != nil {
					t.Errorf("%s has a default", name)
				}
				m, err := f.Configs.Get(name).Message()
				if err != nil {
					t.Fatal(err)
				}
				config = m.(*corev3.TypedExtensionConfig).GetTypedConfig() //nolint:forcetypeassert // made by Discovered
				if !slices.Equal(source.GetTypeUrls(), []string{config.GetTypeUrl()}) {
					t.Errorf("%s takes %v", name, source.GetTypeUrls())
				}
			}
			if strings.HasPrefix(name, envoy.Authorizations+"http.") && len(config.GetValue()) == 0 {
				return // idle
			}
			b, err := proto.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b)
		}
		for _, h := range f.HTTP() {
			take(h.GetName(), h.GetTypedConfig(), h.GetConfigDiscovery())
		}
		for _, n := range f.TCP() {
			take(n.GetName(), n.GetTypedConfig(), n.GetConfigDiscovery())
		}
		for _, h := range policy.HTTP(settings, c) {
			b, _ := proto.Marshal(h.GetTypedConfig())
			want = append(want, b)
		}
		for _, n := range policy.TCP(settings, c) {
			b, _ := proto.Marshal(n.GetTypedConfig())
			want = append(want, b)
		}
		if !slices.EqualFunc(want, got, bytes.Equal) {
			t.Fatalf("%d: %d filters say something else than %d whole ones", n, len(got), len(want))
		}
	}
}

// TestRulesThatStay keep their pointers when others change.
func TestRulesThatStay(t *testing.T) {
	deny := object("d", api.AuthorizationPolicy_DENY, to(&api.Operation{Paths: []string{"/d"}}))
	first := bare(deny, object("p", api.AuthorizationPolicy_ALLOW, to(&api.Operation{Paths: []string{"/a"}})))
	was := policy.Discovered(settings, first).Configs
	next := bare(deny, object("p", api.AuthorizationPolicy_ALLOW, to(&api.Operation{Paths: []string{"/b"}})))
	is := policy.Discovered(settings, policy.Choose(&model.Mesh{Settings: settings, Authorizations: next.Authorizations}, server, first)).Configs
	denies, allows := envoy.Authorizations+"http.deny", envoy.Authorizations+"http.allow"
	if was.Get(denies) == nil || was.Get(denies) != is.Get(denies) || was.Get(allows).Version == is.Get(allows).Version {
		t.Errorf("before %v, after %v", was.Resources(), is.Resources())
	}
	if policy.Discovered(settings, policy.None).Configs != policy.Discovered(&model.Settings{}, nil).Configs {
		t.Error("those without policies don't share what they have")
	}
}

// TestInline: filters that are patched stand in listeners whole.
func TestInline(t *testing.T) {
	patched := server
	patched.Inline = true
	m := &model.Mesh{Settings: settings, Authorizations: bare(object("d", api.AuthorizationPolicy_DENY, &api.Rule{})).Authorizations}
	c := policy.Choose(m, patched, policy.Choose(m, server, nil))
	if http, tcp := names(c); http != "envoy.filters.http.rbac" || tcp != "envoy.filters.network.rbac" {
		t.Errorf("%s; %s", http, tcp)
	}
	if http, tcp := names(policy.Choose(&model.Mesh{Settings: settings}, patched, c)); http+tcp != "" {
		t.Errorf("without policies: %s; %s", http, tcp)
	}
}
