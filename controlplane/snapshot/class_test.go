// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// told are the names of resources that say something else than before, or went.
func told(was, is *envoy.Layer) []string {
	return slices.DeleteFunc(diff(was, is), func(n string) bool {
		a, b := was.Get(n), is.Get(n)
		return a != nil && b != nil && a.Version == b.Version
	})
}

// TestConfigurationConcernsWhomItNames: each piece of configuration changes what
// these callers see, in these resources, and nobody else's view at all.
func TestConfigurationConcernsWhomItNames(t *testing.T) {
	base := world(20, 1)
	host := func(i int) model.Hostname { return base.Services[i].Service.Hostname }
	ns := func(i int) string { return base.Services[i].Service.Namespace }
	cluster := func(i int) string { return envoy.Outbound(80, host(i)) }
	origin := func(kind, namespace string) model.Origin {
		return model.Origin{Kind: kind, Namespace: namespace, Name: "x"}
	}
	policy := func(namespace string, i int, change func(*model.DestinationPolicy)) func(*model.Mesh) {
		return func(m *model.Mesh) {
			p := &model.DestinationPolicy{Origin: origin("DestinationRule", namespace), Host: string(host(i))}
			p.Policy.Connections = &model.ConnectionPool{MaxConnections: 7}
			if change != nil {
				change(p)
			}
			m.Policies = append(m.Policies, p)
		}
	}
	routing := func(namespace string, i int, change func(*model.Routing)) func(*model.Mesh) {
		return func(m *model.Mesh) {
			r := &model.Routing{
				Origin: origin("VirtualService", namespace), Hosts: []string{string(host(i))}, Gateways: []model.GatewayRef{model.Sidecars},
				HTTP: []model.HTTPRule{{Destinations: []model.Destination{{Host: host(i + 1), Weight: 1}}}},
			}
			if change != nil {
				change(r)
			}
			m.Routings = append(m.Routings, r)
		}
	}
	to := func(namespaces ...string) model.Visibility {
		return model.Visibility{Limited: true, Namespaces: namespaces}
	}
	all := "ns0 ns1 ns2 ns3 ns4 ns5 ns6 ns7 ns8 ns9"
	for name, c := range map[string]struct {
		change func(*model.Mesh)
		who    string
		what   []string
	}{
		// Its limits hold at its own pods, too.
		"PolicyOfTheService": {policy(ns(0), 0, nil), all, []string{"inbound|8080||", cluster(0)}},
		"PolicyOfACaller":    {policy("ns5", 0, nil), "ns5", []string{cluster(0)}},
		"PolicyOfTheRoot":    {policy("istio-system", 0, nil), all, []string{"inbound|8080||", cluster(0)}},
		"PolicyExported":     {policy(ns(0), 0, func(p *model.DestinationPolicy) { p.Visible = to("ns3", "ns4") }), "ns3 ns4", []string{cluster(0)}},
		"PolicyOfNobody":     {policy(ns(0), 0, func(p *model.DestinationPolicy) { p.Visible = to() }), "", nil},
		"Subsets": {policy(ns(0), 0, func(p *model.DestinationPolicy) {
			p.Policy = model.TrafficPolicy{}
			p.Subsets = []model.Subset{{Name: "v1", Labels: "version=v1"}}
		}), all, []string{envoy.OutboundSubset(80, "v1", host(0))}},
		"Routing":         {routing(ns(0), 0, nil), all, []string{"80"}},
		"RoutingExported": {routing(ns(0), 0, func(r *model.Routing) { r.Visible = to("ns2") }), "ns2", []string{"80"}},
		"RoutingOfConsumer": {routing("ns2", 0, func(r *model.Routing) {
			r.BySpecificity, r.ConsumerNamespace = true, "ns2"
			// Services of its parent's namespace are told by their addresses too.
		}), "ns2", []string{"10.96.0.0_80", "10.96.0.10_80", "80", "svc00000.ns0.svc.cluster.local:80", "svc00010.ns0.svc.cluster.local:80"}},
		"RoutingFrom": {routing(ns(0), 0, func(r *model.Routing) {
			r.HTTP[0].Matches = []model.HTTPMatch{{From: model.Callers{Namespace: "ns6"}}}
		}), "ns6", []string{"80"}},
		"ServiceHidden": {func(m *model.Mesh) {
			svc := *m.Services[0].Service
			svc.Visible = to(ns(0))
			m.Services[0].Service = &svc
		}, "ns1 ns2 ns3 ns4 ns5 ns6 ns7 ns8 ns9", []string{"-" + cluster(0), "80"}},
		"Sidecar": {func(m *model.Mesh) {
			yes := true
			m.Scopes = []*model.Scope{{
				Origin: origin("Sidecar", "ns8"), RegistryOnly: &yes,
				Egress: []model.Egress{{Hosts: []model.ListenerHost{{Namespace: "*", Host: "*"}}}},
			}}
		}, "ns8", []string{"0.0.0.0_80", "80", "virtualOutbound"}},
		"OneEndpoint": {func(m *model.Mesh) {
			m.Services[0].Endpoints = []*model.EndpointSet{{}}
		}, all, []string{cluster(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			before := snapshot.Build(base, nil)
			for _, w := range base.Workloads {
				before.View(proxy(w))
			}
			m := *base
			m.Services = slices.Clone(base.Services)
			c.change(&m)
			after := snapshot.Build(&m, before)
			who, what := map[string]bool{}, map[string]bool{}
			for _, w := range m.Workloads {
				was, is := before.View(proxy(w)), after.View(proxy(w))
				for typeURL, now := range is.Types {
					then := was.Types[typeURL]
					for _, n := range append(told(then.Shared, now.Shared), told(then.Own, now.Own)...) {
						who[w.Namespace], what[n] = true, true
					}
				}
			}
			if got := strings.Join(slices.Sorted(maps.Keys(who)), " "); got != c.who {
				t.Errorf("concerns %q, want %q", got, c.who)
			}
			if d := cmp.Diff(c.what, slices.Sorted(maps.Keys(what))); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
