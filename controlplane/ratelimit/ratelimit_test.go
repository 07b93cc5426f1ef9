// SPDX-License-Identifier: Apache-2.0

package ratelimit_test

import (
	"fmt"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/ratelimit"
)

func limit(namespace, name string, refs ...model.TargetRef) *model.RateLimit {
	return &model.RateLimit{Origin: model.Origin{Kind: "RateLimitPolicy", Namespace: namespace, Name: name}, Target: model.Target{Refs: refs}}
}

var (
	settings = &model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local"}
	gateway  = model.TargetRef{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: "front"}
	web      = model.TargetRef{Kind: "Service", Name: "web"}
	inbound  = []model.InboundPort{{Port: 8080, Service: "web.shop.svc.cluster.local"}, {Port: 9090, Service: "admin.shop.svc.cluster.local"}}
)

// TestChoose: whom a policy is for, in an order that no age changes.
func TestChoose(t *testing.T) {
	selected := limit("shop", "selected")
	selected.Target.Selector = "app=web"
	m := &model.Mesh{Settings: settings, RateLimits: []*model.RateLimit{
		selected, limit("shop", "all"), limit("istio-system", "mesh"), limit("bank", "other"), limit("shop", "at-gateway", gateway), limit("shop", "of-web", web), limit("bank", "of-other", web),
	}}
	for name, test := range map[string]struct {
		at      policy.Guarded
		inbound []model.InboundPort
		want    string
	}{
		"Web":     {policy.Guarded{Namespace: "shop", Labels: map[string]string{"app": "web"}}, inbound, "istio-system/mesh shop/all shop/of-web shop/selected"},
		"Client":  {policy.Guarded{Namespace: "shop"}, nil, "istio-system/mesh shop/all"},
		"Gateway": {policy.Guarded{Namespace: "shop", Gateway: "front"}, inbound, "istio-system/mesh shop/all shop/at-gateway"},
		"Other":   {policy.Guarded{Namespace: "none"}, nil, "istio-system/mesh"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, l := range ratelimit.Choose(m, test.at, test.inbound) {
				got = append(got, l.Namespace+"/"+l.Name)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%v, want %s", got, test.want)
			}
		})
	}
}

// listener of a port, with these filters before the router.
func listener(t *testing.T, direction corev3.TrafficDirection, filters ...string) *envoy.Resource {
	t.Helper()
	m := envoy.HTTPManager(&model.Settings{}, "x")
	var before []*hcmv3.HttpFilter
	for _, f := range filters {
		before = append(before, &hcmv3.HttpFilter{Name: f})
	}
	m.HttpFilters = append(before, m.HttpFilters...)
	l := &listenerv3.Listener{Name: envoy.VirtualInbound, TrafficDirection: direction, Address: envoy.Address("0.0.0.0", 15006), FilterChains: []*listenerv3.FilterChain{
		{FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(8080)}, Filters: []*listenerv3.Filter{envoy.HTTPManagerFilter(m)}},
		{FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(7070)}, Filters: []*listenerv3.Filter{envoy.TCPProxyFilter(envoy.TCPProxy(&model.Settings{}, "closed"))}},
	}}
	r, err := envoy.NewResource(l.GetName(), l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestPlaces of the filters: after all that refuses, before all that acts; only where
// something is taken, and of a service's policy only on its ports.
func TestPlaces(t *testing.T) {
	const in, out = corev3.TrafficDirection_INBOUND, corev3.TrafficDirection_OUTBOUND
	all := []string{"envoy.filters.http.jwt_authn", envoy.Authorizations + "http.deny", "envoy.filters.http.ext_authz", envoy.Authorizations + "http.allow", "envoy.filters.http.cors", "envoy.filters.http.fault"}
	two := []*model.RateLimit{limit("shop", "a"), limit("shop", "b")}
	for name, test := range map[string]struct {
		limits    []*model.RateLimit
		gateway   bool
		direction corev3.TrafficDirection
		filters   []string
		want      string
	}{
		"AfterAll":       {two, false, in, all, "jwt_authn deny ext_authz allow LIMIT.a LIMIT.b cors fault router"},
		"OnlyTokens":     {two, false, in, all[:1], "jwt_authn LIMIT.a LIMIT.b router"},
		"NobodyRefuses":  {two, false, in, all[4:], "LIMIT.a LIMIT.b cors fault router"},
		"CallsOfOwn":     {two, false, out, all[4:], "cors fault router"},
		"Gateway":        {two[:1], true, out, all[3:5], "allow LIMIT.a cors router"},
		"Service":        {[]*model.RateLimit{limit("shop", "a", web)}, false, in, all[3:5], "allow LIMIT.a cors router"},
		"AnotherService": {[]*model.RateLimit{limit("shop", "a", model.TargetRef{Kind: "Service", Name: "admin"})}, false, in, all[3:5], "allow cors router"},
	} {
		t.Run(name, func(t *testing.T) {
			before := listener(t, test.direction, test.filters...)
			r, err := ratelimit.Listener(ratelimit.Proxy{Settings: settings, Gateway: test.gateway, Inbound: inbound}, test.limits, before)
			if err != nil {
				t.Fatal(err)
			}
			if same := r == before; same != !strings.Contains(test.want, "LIMIT") {
				t.Errorf("the listener is the same one: %v", same)
			}
			message, err := r.Message()
			if err != nil {
				t.Fatal(err)
			}
			m := &hcmv3.HttpConnectionManager{}
			if err := message.(*listenerv3.Listener).GetFilterChains()[0].GetFilters()[0].GetTypedConfig().UnmarshalTo(m); err != nil { //nolint:forcetypeassert // made above
				t.Fatal(err)
			}
			var got []string
			for _, f := range m.GetHttpFilters() {
				short := strings.Replace(f.GetName(), "policy.isthmesh.dev/ratelimitpolicy/shop.", "LIMIT.", 1)
				short = strings.TrimPrefix(strings.TrimPrefix(short, "envoy.filters.http."), envoy.Authorizations+"http.")
				got = append(got, short)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%v, want %s", got, test.want)
			}
		})
	}
}

// TestNames of a policy's filter are no other policy's.
func TestNames(t *testing.T) {
	l := limit("shop", "a")
	r, err := ratelimit.Resource(settings, l)
	if err != nil || !ratelimit.Named(r.Name, l) || ratelimit.Named(r.Name, limit("shop", "b")) {
		t.Errorf("%v %s", err, r.Name)
	}
	asked := []*model.RateLimit{l, limit("shop", "b"), limit("shop", "c")}
	for i, port := range []uint16{2, 1, 2} {
		asked[i].Service = &model.RateService{Host: "a.b", Port: port}
	}
	if got := fmt.Sprint(ratelimit.Asked(append(asked, limit("shop", "d")))); got != "[outbound|1||a.b outbound|2||a.b]" {
		t.Error(got)
	}
}
