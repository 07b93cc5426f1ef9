// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func TestConflicts(t *testing.T) {
	only := func(namespaces ...string) model.Visibility {
		return model.Visibility{Limited: true, Namespaces: namespaces}
	}
	for name, c := range map[string]struct {
		host, other string
		a, b        model.Visibility
		routes      bool // both are of the Gateway API
		want        int
	}{
		"SameHost":       {"x", "x", model.Visibility{}, model.Visibility{}, false, 1},
		"OtherHost":      {"x", "y", model.Visibility{}, model.Visibility{}, false, 0},
		"SeenApart":      {"x", "x", only("a"), only("b"), false, 0},
		"SeenBySome":     {"x", "x", only("a", "b"), only("b"), false, 1},
		"OneSeenByAll":   {"x", "x", model.Visibility{}, only("b"), false, 1},
		"HoldTogether":   {"x", "x", model.Visibility{}, model.Visibility{}, true, 0},
		"SameWildcard":   {"*.x", "*.x", model.Visibility{}, model.Visibility{}, false, 1},
		"WithinWildcard": {"*.x", "a.x", model.Visibility{}, model.Visibility{}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			routing := func(name, host string, v model.Visibility) *model.Routing {
				return &model.Routing{
					Origin: model.Origin{Kind: "VirtualService", Namespace: "shop", Name: name}, Hosts: []string{host},
					Gateways: []model.GatewayRef{model.Sidecars}, Visible: v, BySpecificity: c.routes,
				}
			}
			got := indexRoutings(&model.Mesh{Routings: []*model.Routing{routing("a", c.host, c.a), routing("b", c.other, c.b)}}).conflicts()
			if len(got) != c.want || c.want > 0 && got[0].Name != "b" {
				t.Errorf("got %v, want %d", got, c.want)
			}
		})
	}
}
