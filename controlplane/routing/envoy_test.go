// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"encoding/json"
	"fmt"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/test/envoybin"
	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same draws in every run
	"github.com/isthmesh/isthmesh/test/generate"
)

// TestEnvoyTakesAllRules gives what random rules become to a real Envoy, in
// batches: it refuses nothing.
func TestEnvoyTakesAllRules(t *testing.T) {
	const batches, size = 5, 1000
	for b := range batches {
		var routings []*model.Routing
		for i := range size {
			routings = append(routings, generate.Routing().Example(b*size+i))
		}
		if err := envoybin.Validate(t, configuration(routings)); err != nil {
			r := culprit(t, routings)
			text, _ := json.MarshalIndent(r, "", " ")
			t.Fatalf("batch %d: %v\nof %s", b, envoybin.Validate(t, configuration([]*model.Routing{r})), text)
		}
	}
}

// culprit of a batch that Envoy refuses.
func culprit(t *testing.T, routings []*model.Routing) *model.Routing {
	for len(routings) > 1 {
		half := routings[:len(routings)/2]
		if envoybin.Validate(t, configuration(half)) == nil {
			half = routings[len(routings)/2:]
		}
		routings = half
	}
	return routings[0]
}

func settings() *model.Settings { return &model.Settings{DomainSuffix: "cluster.local"} }

// callers are at a sidecar and at a gateway.
func contextOf(port uint16) routing.Context {
	return routing.Context{
		Settings: settings(), Port: port, At: model.Sidecars, Namespace: "shop",
		Cluster: func(d model.Destination) (routing.Cluster, bool) {
			if d.Host == "unknown.example.org" {
				return routing.Cluster{}, false
			}
			c := routing.Cluster{Name: fmt.Sprintf("outbound|%d|%s|%s", d.Port, d.Subset, d.Host)}
			if d.Host == "ratings.shop.svc.cluster.local" {
				c.Hash = destination.HashPolicies(&model.Balancer{Kind: model.Maglev, Hash: &model.HashKey{Header: "x-user"}})
				c.AuthorityRewrite = "other.example.com"
			}
			if d.Host == "example.com" {
				c.AutoHostRewrite, c.ForeignTLS = true, true
				c.Stream = destination.Stream{SourceIP: true, Tunnel: &model.Tunnel{Method: "POST", Host: "proxy", Port: 3128}}
			}
			return c, true
		},
	}
}

// configuration of Envoy with a virtual host for each routing's HTTP rules, and
// a listener for each one's TLS and TCP rules.
func configuration(routings []*model.Routing) *bootstrapv3.Bootstrap {
	out := &bootstrapv3.Bootstrap{
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{},
		LayeredRuntime: &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
			Name: "static", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
				"re2.max_program_size.error_level": structpb.NewNumberValue(model.MaxProgram),
			}}},
		}}},
	}
	listen := func(name string, port int, chains []*listenerv3.FilterChain, inspectors ...*listenerv3.ListenerFilter) {
		out.StaticResources.Listeners = append(out.StaticResources.Listeners, &listenerv3.Listener{
			Name: name, Address: envoy.Address("127.0.0.1", uint16(port)), BindToPort: wrapperspb.Bool(false), FilterChains: chains, ListenerFilters: inspectors,
		})
	}
	all := &routev3.RouteConfiguration{Name: "all", ValidateClusters: wrapperspb.Bool(false), MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(routing.MaxBody)}
	for i, r := range routings {
		c := contextOf(80)
		c.TLS = i%2 == 0
		routes, _ := routing.HTTP(c, []*model.Routing{r})
		all.VirtualHosts = append(all.VirtualHosts, &routev3.VirtualHost{Name: fmt.Sprint(i), Domains: []string{fmt.Sprintf("h%d.example.com", i)}, Routes: routes})
		if chains, _ := routing.TLS(c, []*model.Routing{r}); len(chains) > 0 {
			listen(fmt.Sprint("tls", i), 10000+i, chains, envoy.TLSInspector())
		}
		if chains, _ := routing.TCP(c, []*model.Routing{r}); len(chains) > 0 {
			listen(fmt.Sprint("tcp", i), 20000+i, chains)
		}
	}
	manager := envoy.HTTPManager(settings(), "all")
	manager.HttpFilters = append(append([]*hcmv3.HttpFilter{envoy.OfferHTTP()}, routing.Filters()...), manager.HttpFilters...)
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: all}
	listen("http", 9999, []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{envoy.HTTPManagerFilter(manager)}}})
	return out
}

// TestRulesOfAnyKind: translation is the same each time, and panics on nothing.
func TestRulesOfAnyKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := generate.Routing().Draw(t, "routing")
		configuration([]*model.Routing{r})
	})
}
