// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
)

func exact(p string) model.Match  { return model.Match{Kind: model.MatchExact, Value: p} }
func prefix(p string) model.Match { return model.Match{Kind: model.MatchPathPrefix, Value: p} }

// rules of a routing, one for each match, named in their order.
func rules(matches ...model.HTTPMatch) []model.HTTPRule {
	out := make([]model.HTTPRule, len(matches))
	for i, m := range matches {
		out[i] = model.HTTPRule{Matches: []model.HTTPMatch{m}, Direct: &model.DirectResponse{Status: 200}}
	}
	return out
}

func TestOrder(t *testing.T) {
	header := []model.NamedMatch{{Name: "a", Match: exact("b")}}
	gateway := model.GatewayRef{Namespace: "edge", Name: "gateway"}
	route := func(name string, created int64, r ...model.HTTPRule) *model.Routing {
		return &model.Routing{Origin: model.Origin{Kind: "HTTPRoute", Namespace: "ns", Name: name, CreatedUnix: created}, BySpecificity: true, HTTP: r}
	}
	service := func(name string, created int64, r ...model.HTTPRule) *model.Routing {
		for i := range r {
			r[i].Name = fmt.Sprint(name, i)
		}
		return &model.Routing{Origin: model.Origin{Kind: "VirtualService", Namespace: "ns", Name: name, CreatedUnix: created}, HTTP: r}
	}
	for name, c := range map[string]struct {
		at       model.GatewayRef
		routings []*model.Routing
		want     []string
		problems []string
	}{
		"MostSpecificFirst": {
			routings: []*model.Routing{route("r", 1, rules(
				model.HTTPMatch{},
				model.HTTPMatch{Path: prefix("/")},
				model.HTTPMatch{Path: prefix("/foo")},
				model.HTTPMatch{Path: prefix("/foo"), Headers: header},
				model.HTTPMatch{Path: prefix("/foo"), Method: exact("GET")},
				model.HTTPMatch{Path: prefix("/foo/bar/")},
				model.HTTPMatch{Path: prefix("/foo"), Query: header},
				model.HTTPMatch{Path: model.Match{Kind: model.MatchRegex, Value: "/.*"}},
				model.HTTPMatch{Path: exact("/a")},
			)...)},
			want: []string{"ns.r.8", "ns.r.7", "ns.r.5", "ns.r.4", "ns.r.3", "ns.r.6", "ns.r.2", "ns.r.0", "ns.r.1"},
		},
		"OldestOfEquals": {
			routings: []*model.Routing{route("b", 1, rules(model.HTTPMatch{Path: prefix("/foo")})...), route("a", 1, rules(model.HTTPMatch{Path: prefix("/foo")})...), route("0", 2, rules(model.HTTPMatch{Path: exact("/foo")}, model.HTTPMatch{Path: prefix("/foo/")})...)},
			want:     []string{"ns.0.0", "ns.a.0"}, problems: []string{"ns/b spec.rules[0].matches[0] Conflict", "ns/0 spec.rules[1].matches[0] Conflict"},
		},
		"AsWrittenUntilTheOneForAll": {
			routings: []*model.Routing{service("a", 1, rules(model.HTTPMatch{Path: prefix("/")}, model.HTTPMatch{Path: exact("/foo")})...)},
			want:     []string{"a0"},
		},
		"OldestAloneAtSidecars": {
			routings: []*model.Routing{service("a", 1, rules(model.HTTPMatch{Path: exact("/foo")})...), service("b", 2, rules(model.HTTPMatch{Path: exact("/bar")})...)},
			want:     []string{"a0"}, problems: []string{"ns/b spec.hosts Conflict"},
		},
		"OthersAfterwardsAtGateways": {
			at:       gateway,
			routings: []*model.Routing{service("a", 1, rules(model.HTTPMatch{Path: exact("/foo")}, model.HTTPMatch{})...), service("b", 2, rules(model.HTTPMatch{Path: exact("/bar")}, model.HTTPMatch{})...)},
			want:     []string{"a0", "b0", "a1"}, problems: []string{"ns/b spec.http[1].match[0] Conflict"},
		},
		"NothingThatHoldsHereIsNoConflict": {
			routings: []*model.Routing{
				service("a", 1, rules(model.HTTPMatch{From: model.Callers{Gateways: []model.GatewayRef{gateway}}})...),
				service("b", 2, rules(model.HTTPMatch{From: model.Callers{Labels: "app=client"}}, model.HTTPMatch{From: model.Callers{Namespace: "other"}}, model.HTTPMatch{Port: 81})...),
			},
			want: []string{"b0"},
		},
		"BothAPIs": {
			routings: []*model.Routing{service("a", 1, rules(model.HTTPMatch{Path: exact("/foo")})...), route("r", 2, rules(model.HTTPMatch{Path: prefix("/r")})...)},
			want:     []string{"ns.r.0", "a0"},
		},
		"ConsumersOwn": {
			routings: []*model.Routing{route("producer", 1, rules(model.HTTPMatch{})...), with(route("consumer", 2, rules(model.HTTPMatch{})...), func(r *model.Routing) { r.ConsumerNamespace = "shop" })},
			want:     []string{"ns.consumer.0"},
		},
		"ConsumersElsewhere": {
			routings: []*model.Routing{route("producer", 1, rules(model.HTTPMatch{})...), with(route("consumer", 2, rules(model.HTTPMatch{})...), func(r *model.Routing) { r.ConsumerNamespace = "bank" })},
			want:     []string{"ns.producer.0"},
		},
		"OtherPort": {routings: []*model.Routing{with(route("r", 1, rules(model.HTTPMatch{})...), func(r *model.Routing) { r.ParentPort = 81 })}},
		"BadExpressionCostsOnlyItself": {
			routings: []*model.Routing{route("r", 1, rules(model.HTTPMatch{Path: model.Match{Kind: model.MatchRegex, Value: "(a{1000}){1000}"}}, model.HTTPMatch{Path: exact("/foo")})...)},
			want:     []string{"ns.r.1"}, problems: []string{"ns/r spec.rules[0].matches[0].path.value InvalidRegex"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			context := contextOf(80)
			context.Labels = "app=client"
			if c.at != (model.GatewayRef{}) {
				context.At = c.at
			}
			routes, found := routing.HTTP(context, c.routings)
			var got, problems []string
			for _, r := range routes {
				got = append(got, r.GetName())
			}
			for _, p := range found {
				problems = append(problems, p.Namespace+"/"+p.Name+" "+p.Field+" "+p.Reason)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("routes (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.problems, problems); d != "" {
				t.Errorf("problems (-want +got):\n%s", d)
			}
		})
	}
}

func with(r *model.Routing, change func(*model.Routing)) *model.Routing {
	change(r)
	return r
}

func TestChains(t *testing.T) {
	to := []model.Destination{{Host: "example.com", Port: 443, Weight: 1}}
	tls := func(name string, m ...model.TLSMatch) *model.Routing {
		return &model.Routing{Origin: model.Origin{Kind: "VirtualService", Namespace: "ns", Name: name}, Hosts: []string{"h.example.com"}, TLS: []model.TLSRule{{Matches: m, Destinations: to}}}
	}
	for name, c := range map[string]struct {
		routings []*model.Routing
		want     []string
		problems int
	}{
		"HostsOfTheRouting": {[]*model.Routing{tls("a")}, []string{"ns.a tls h.example.com"}, 0},
		"NameTwice": {
			[]*model.Routing{tls("a", model.TLSMatch{ServerNames: []string{"x.com", "y.com"}}), tls("b", model.TLSMatch{ServerNames: []string{"Y.com", "z.com"}})},
			[]string{"ns.a tls x.com,y.com", "ns.b tls z.com"},
			1,
		},
		"OtherSubnet": {
			[]*model.Routing{
				tls("a", model.TLSMatch{ServerNames: []string{"x.com"}, DestinationSubnets: []string{"10.1.2.3/8"}}),
				tls("b", model.TLSMatch{ServerNames: []string{"x.com", "y.com"}, DestinationSubnets: []string{"10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"}}),
			},
			[]string{"ns.a tls x.com 10.0.0.0/8", "ns.b tls y.com 10.0.0.0/8", "ns.b tls x.com,y.com 11.0.0.0/8 12.0.0.0/8"},
			1,
		},
		"AnyName":     {[]*model.Routing{tls("a", model.TLSMatch{ServerNames: []string{"*", "x.com"}})}, []string{"ns.a tls"}, 0},
		"NoName":      {[]*model.Routing{tls("a", model.TLSMatch{ServerNames: []string{"a*.com"}})}, nil, 1},
		"NoSubnet":    {[]*model.Routing{tls("a", model.TLSMatch{DestinationSubnets: []string{"10.0.0.0/33"}})}, nil, 1},
		"AnotherPort": {[]*model.Routing{tls("a", model.TLSMatch{Port: 444})}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			chains, problems := routing.TLS(contextOf(443), c.routings)
			var got []string
			for _, chain := range chains {
				m := chain.GetFilterChainMatch()
				line := strings.TrimSpace(chain.GetName() + " " + m.GetTransportProtocol() + " " + strings.Join(m.GetServerNames(), ","))
				for _, r := range m.GetPrefixRanges() {
					line += fmt.Sprintf(" %s/%d", r.GetAddressPrefix(), r.GetPrefixLen().GetValue())
				}
				got = append(got, line)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if len(problems) != c.problems {
				t.Errorf("%d problems, want %d: %v", len(problems), c.problems, problems)
			}
		})
	}
	tcp := &model.Routing{Hosts: []string{"h"}, TCP: []model.TCPRule{{Name: "all", Destinations: to}, {Name: "again", Destinations: to}, {Name: "some", Matches: []model.TCPMatch{{DestinationSubnets: []string{"::1"}}}, Destinations: to}}}
	chains, problems := routing.TCP(contextOf(443), []*model.Routing{tcp})
	if len(chains) != 2 || chains[0].GetName() != "some" || chains[1].GetFilterChainMatch() != nil || len(problems) != 1 {
		t.Errorf("%v %v", chains, problems)
	}
}
