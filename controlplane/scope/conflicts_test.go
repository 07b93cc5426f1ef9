// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		"OneIsNarrower":  {"x", "x", model.Visibility{}, only("b"), false, 0},
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

// TestPolicyConflicts: what a younger policy says and an older one says otherwise
// is told, where both hold for some callers.
func TestPolicyConflicts(t *testing.T) {
	limit := func(n uint32) model.TrafficPolicy {
		return model.TrafficPolicy{PortPolicy: model.PortPolicy{Connections: &model.ConnectionPool{MaxConnections: n}}}
	}
	subset := func(name string, labels model.Labels) []model.Subset {
		return []model.Subset{{Name: name, Labels: labels}}
	}
	only := model.Visibility{Limited: true, Namespaces: []string{"a"}}
	for name, c := range map[string]struct {
		old, young model.DestinationPolicy
		want       []string
	}{
		"Policies":        {model.DestinationPolicy{Policy: limit(1)}, model.DestinationPolicy{Policy: limit(2)}, []string{"spec.trafficPolicy"}},
		"TheSamePolicy":   {model.DestinationPolicy{Policy: limit(1)}, model.DestinationPolicy{Policy: limit(1)}, nil},
		"OneSaysNothing":  {model.DestinationPolicy{}, model.DestinationPolicy{Policy: limit(1), Subsets: subset("v1", "v=1")}, nil},
		"Subsets":         {model.DestinationPolicy{Subsets: subset("v1", "v=1")}, model.DestinationPolicy{Subsets: subset("v1", "v=2")}, []string{"spec.subsets[v1]"}},
		"OtherSubsets":    {model.DestinationPolicy{Subsets: subset("v1", "v=1")}, model.DestinationPolicy{Subsets: subset("v2", "v=2")}, nil},
		"SeenApart":       {model.DestinationPolicy{Policy: limit(1), Visible: only}, model.DestinationPolicy{Policy: limit(2), Visible: model.Visibility{Limited: true, Namespaces: []string{"b"}}}, nil},
		"OtherHosts":      {model.DestinationPolicy{Policy: limit(1), Host: "*.x"}, model.DestinationPolicy{Policy: limit(2), Host: "a.x"}, nil},
		"OtherNamespaces": {model.DestinationPolicy{Policy: limit(1), Origin: model.Origin{Namespace: "bank"}}, model.DestinationPolicy{Policy: limit(2)}, nil},
		"ForSomeCallers":  {model.DestinationPolicy{Policy: limit(1)}, model.DestinationPolicy{Policy: limit(2), Selector: "app=a"}, nil},
		"ForTheSameOnes":  {model.DestinationPolicy{Policy: limit(1), Selector: "app=a"}, model.DestinationPolicy{Policy: limit(2), Selector: "app=a"}, []string{"spec.trafficPolicy"}},
		"ForOneOfBoth":    {model.DestinationPolicy{Policy: limit(1), Selector: "app=a"}, model.DestinationPolicy{Policy: limit(2), Selector: "v=1"}, []string{"spec.trafficPolicy"}},
		"ForNobodyOfBoth": {model.DestinationPolicy{Policy: limit(1), Selector: "app=a"}, model.DestinationPolicy{Policy: limit(2), Selector: "v=2"}, nil},
		"OfAnotherAPI":    {model.DestinationPolicy{Policy: limit(1), Origin: model.Origin{Kind: "BackendTLSPolicy"}}, model.DestinationPolicy{Policy: limit(2)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := &model.Mesh{
				Settings:  &model.Settings{},
				Workloads: []*model.Workload{{Namespace: "other", Name: "b", Labels: map[string]string{"app": "a", "v": "2"}}, {Namespace: "shop", Name: "a", Labels: map[string]string{"app": "a", "v": "1"}}},
			}
			for i, p := range []model.DestinationPolicy{c.old, c.young} {
				p.Name = []string{"old", "young"}[i]
				if p.Namespace == "" {
					p.Namespace = "shop"
				}
				if p.Kind == "" {
					p.Kind = "DestinationRule"
				}
				m.Policies = append(m.Policies, &p)
			}
			var want []model.Problem
			for _, field := range c.want {
				want = append(want, model.Problem{
					Kind: "DestinationRule", Namespace: "shop", Name: "young", Field: field, Reason: "Conflict",
					Message: "DestinationRule shop/old says otherwise for the same host, is older and wins; merge the two, or remove one",
				})
			}
			if d := cmp.Diff(want, Build(m, nil).Problems()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestScopeConflicts: a Scope that selects what an older one selects too is told,
// by the labels alone or by a workload that has both.
func TestScopeConflicts(t *testing.T) {
	for name, c := range map[string]struct {
		old, young model.Labels
		want       string
	}{
		"TheSame":      {"app=b", "app=b", "the same workloads"},
		"OfOneOfBoth":  {"app=a", "v=1", `workload "a" too`},
		"OfNobody":     {"app=a", "v=2", ""},
		"OneOfThemAll": {"", "v=1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			scope := func(name string, selector model.Labels) *model.Scope {
				return &model.Scope{Origin: model.Origin{Kind: "Sidecar", Namespace: "shop", Name: name}, Selector: selector}
			}
			m := &model.Mesh{
				Settings:  &model.Settings{},
				Workloads: []*model.Workload{{Namespace: "shop", Name: "a", Labels: map[string]string{"app": "a", "v": "1"}}, {Namespace: "shop", Name: "b", Labels: map[string]string{"v": "2"}}},
				Scopes:    []*model.Scope{scope("old", c.old), scope("young", c.young)},
			}
			var want []model.Problem
			if c.want != "" {
				want = []model.Problem{m.Scopes[1].Problem("spec.workloadSelector", "Conflict", fmt.Sprintf(
					"Sidecar shop/old is older and selects %s, so it holds there; narrow one of the two", c.want))}
			}
			if d := cmp.Diff(want, Build(m, nil).Problems()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
