// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/test/security"
)

// TestRoutesByClaims: requests go by the claims of a verified token, and not by
// headers of that name.
func TestRoutesByClaims(t *testing.T) {
	w := newWorld(t)
	scenarios, err := security.Read("claims", []byte(`-- x policies --
kind: RequestAuthentication
spec: {jwtRules: [{issuer: "${ISSUER}", jwks: '${JWKS}'}]}
`), w.replacer())
	if err != nil {
		t.Fatal(err)
	}
	claim := func(status uint32, name, value string, not bool) model.HTTPRule {
		return model.HTTPRule{
			Matches: []model.HTTPMatch{{Headers: []model.NamedMatch{{Name: "@request.auth.claims" + name, Match: model.Match{Kind: model.MatchExact, Value: value}, Not: not}}}},
			Direct:  &model.DirectResponse{Status: status},
		}
	}
	routes, problems := routing.HTTP(routing.Context{Settings: w.settings, At: model.Sidecars}, []*model.Routing{{
		Hosts: []string{"*"}, Gateways: []model.GatewayRef{model.Sidecars},
		HTTP: []model.HTTPRule{
			claim(210, ".sub", "bob", false), claim(211, ".group", "admin", false), claim(212, "[nested][dotted.name]", "x", false),
			claim(213, ".sub", "a/b", true),
		},
	}})
	if len(problems) > 0 || len(routes) != 4 {
		t.Fatalf("%d routes, %v", len(routes), problems)
	}
	m, _ := w.mesh(&scenarios[0])
	view, err := w.view(m)
	if err != nil {
		t.Fatal(err)
	}
	prepend(t, view, routes)
	if err := w.proxy.Try(fixed{w: w.workload, view: view}); err != nil {
		t.Fatal(err)
	}
	clients := w.clients()
	defer clients.close()
	for token, want := range map[string]int{"bob": 210, "alice": 211, "slash": 200, "nobody": 213, "": 213, "forged": 401} {
		got, err := clients.verdict(security.Call{Port: "http-strict", Caller: "cart", Method: "GET", Path: "/", Host: "server", Token: token, Headers: "x-sub=bob"})
		if err != nil || got != want {
			t.Errorf("token %q: got %d, want %d: %v", token, got, want, err)
		}
	}
}

// prepend routes to those of every connection manager of the inbound listener.
func prepend(t *testing.T, view *envoy.View, routes []*routev3.Route) {
	t.Helper()
	r := view.Get(envoy.ListenerType, envoy.VirtualInbound)
	m, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	l := m.(*listenerv3.Listener) //nolint:forcetypeassert // it is one
	for _, c := range l.GetFilterChains() {
		for _, f := range c.GetFilters() {
			var manager hcmv3.HttpConnectionManager
			if f.GetTypedConfig().UnmarshalTo(&manager) != nil {
				continue
			}
			host := manager.GetRouteConfig().GetVirtualHosts()[0]
			host.Routes = append(append([]*routev3.Route(nil), routes...), host.GetRoutes()...)
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: envoy.Any(&manager)}
		}
	}
	if r, err = envoy.NewResource(l.GetName(), l); err != nil {
		t.Fatal(err)
	}
	view.Types[envoy.ListenerType] = envoy.Layers{Own: layer(r)}
}
