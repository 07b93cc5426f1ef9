// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
)

// TestHidden: a rule that another, older object of the same host leaves no request
// for is told, and no other one is.
func TestHidden(t *testing.T) {
	at := model.GatewayRef{Namespace: "shop", Name: "front", Listener: "http"}
	object := func(kind, name string, created int64, matches ...model.HTTPMatch) *model.Routing {
		r := &model.Routing{
			Origin: model.Origin{Kind: kind, Namespace: "shop", Name: name, CreatedUnix: created},
			Hosts:  []string{"a.example"}, BySpecificity: kind != "VirtualService",
		}
		for _, m := range matches {
			rule := model.HTTPRule{Direct: &model.DirectResponse{Status: 200}}
			if m.Name != "none" {
				rule.Matches = []model.HTTPMatch{m}
			}
			r.HTTP = append(r.HTTP, rule)
		}
		return r
	}
	path := func(kind model.MatchKind, value string) model.HTTPMatch {
		return model.HTTPMatch{Path: model.Match{Kind: kind, Value: value}}
	}
	with := func(m model.HTTPMatch, header string) model.HTTPMatch {
		m.Headers = []model.NamedMatch{{Name: header, Match: model.Match{Kind: model.MatchExact, Value: "1"}}}
		return m
	}
	none := model.HTTPMatch{Name: "none"}
	equal, begins, segments := model.MatchExact, model.MatchPrefix, model.MatchPathPrefix
	told := func(kind, name, field, what, by, how string) model.Problem {
		return model.Problem{Kind: kind, Namespace: "shop", Name: name, Field: field, Reason: "Conflict", Message: "no request reaches " + what + ": " +
			by + ", which " + how + ", has a rule for the same host that takes all of them; change the match, or merge the two"}
	}
	for name, c := range map[string]struct {
		routings []*model.Routing
		want     []model.Problem
	}{
		"OtherMatches": {routings: []*model.Routing{
			object("VirtualService", "old", 1, path(equal, "/a"), path(begins, "/b/")), object("VirtualService", "young", 2, path(begins, "/a"), path(begins, "/b"), none),
		}},
		"TheSameMatch": {
			routings: []*model.Routing{object("VirtualService", "old", 1, none, path(equal, "/never")), object("VirtualService", "young", 2, path(equal, "/a"), none)},
			want:     []model.Problem{told("VirtualService", "young", "spec.http[1]", "it", "VirtualService shop/old", "is older")},
		},
		"UnderAPrefix": {
			routings: []*model.Routing{object("VirtualService", "old", 1, path(begins, "/a")), object("VirtualService", "young", 2, path(equal, "/a/b"), with(path(begins, "/ab"), "x"), path(begins, "/"))},
			want: []model.Problem{
				told("VirtualService", "young", "spec.http[0].match[0]", "it", "VirtualService shop/old", "is older"),
				told("VirtualService", "young", "spec.http[1].match[0]", "it", "VirtualService shop/old", "is older"),
			},
		},
		"UnderAPrefixWithAHeader": {
			routings: []*model.Routing{object("VirtualService", "old", 1, with(path(begins, "/a"), "x")), object("VirtualService", "young", 2, path(equal, "/a/b"), with(path(begins, "/a"), "y"))},
		},
		"OneObjectsOwn": {
			routings: []*model.Routing{object("VirtualService", "old", 1, path(begins, "/a"), path(equal, "/a/b")), object("VirtualService", "young", 2, none)},
		},
		"RoutesOfTheGatewayAPI": {
			routings: []*model.Routing{object("HTTPRoute", "old", 1, path(segments, "/"), path(segments, "/a")), object("HTTPRoute", "young", 2, path(segments, "/a/b"), path(segments, "/a"))},
			want:     []model.Problem{told("HTTPRoute", "young", "spec.rules[1].matches[0]", "it", "HTTPRoute shop/old", "is older")},
		},
		"Ingresses": {
			routings: []*model.Routing{object("Ingress", "old", 1, none), object("Ingress", "young", 2, path(segments, "/a"), none)},
			want:     []model.Problem{told("Ingress", "young", "spec.rules", `path "/" of host "a.example"`, "Ingress shop/old", "is older")},
		},
		"KindsThatGoFirst": {
			routings: []*model.Routing{object("VirtualService", "old", 1, none), object("Ingress", "young", 2, none)},
			want:     []model.Problem{told("VirtualService", "old", "spec.http[0]", "it", "Ingress shop/young", "goes before it")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			context := routing.Context{Settings: &model.Settings{}, Port: 80, At: at}
			_, together := routing.HTTP(context, c.routings)
			if d := cmp.Diff(c.want, together); d != "" {
				t.Errorf("at one listener (-want +got):\n%s", d)
			}
			// Of two gateways the younger one comes first, and the older object wins all the same.
			var apart []routing.Placed
			for _, r := range c.routings {
				apart = append([]routing.Placed{{Context: context, Routings: []*model.Routing{r}}}, apart...)
			}
			routes, problems := routing.Together(apart)
			if d := cmp.Diff(c.want, problems); d != "" {
				t.Errorf("at two gateways (-want +got):\n%s", d)
			}
			if all, _ := routing.HTTP(context, c.routings); len(all) != len(routes) {
				t.Errorf("%d routes at two gateways, %d at one", len(routes), len(all))
			}
		})
	}
}
