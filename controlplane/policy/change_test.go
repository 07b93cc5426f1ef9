// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"slices"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// TestChange: whoever is not concerned is under the same policies as before.
func TestChange(t *testing.T) {
	origin := func(namespace, name string) model.Origin {
		return model.Origin{Kind: "AuthorizationPolicy", Namespace: namespace, Name: name}
	}
	selected := &model.Authorization{Origin: origin("shop", "selected"), Target: model.Target{Selector: "app=reviews"}}
	other := &model.Authorization{Origin: origin("shop", "other"), Target: model.Target{Selector: "app=ratings"}}
	whole := &model.Authorization{Origin: origin("shop", "whole")}
	root := &model.Authorization{Origin: origin("istio-system", "root")}
	tokens := &model.RequestAuthentication{Origin: origin("shop", "tokens")}
	rewritten := *selected
	mesh := func(authentications []*model.RequestAuthentication, authorizations ...*model.Authorization) *model.Mesh {
		return &model.Mesh{Settings: &model.Settings{RootNamespace: "istio-system"}, Authorizations: authorizations, Authentications: authentications}
	}
	elsewhere := mesh(nil, selected)
	elsewhere.Settings = &model.Settings{RootNamespace: "mesh"}
	all := []string{"bank", "ratings", "reviews"}
	guarded := map[string]policy.Guarded{
		"reviews": {Namespace: "shop", Labels: map[string]string{"app": "reviews"}},
		"ratings": {Namespace: "shop", Labels: map[string]string{"app": "ratings"}},
		"bank":    {Namespace: "bank", Labels: map[string]string{"app": "reviews"}},
	}
	for name, test := range map[string]struct {
		before, after *model.Mesh
		want          []string
	}{
		"Nothing":   {mesh(nil, selected, other), mesh(nil, selected, other), nil},
		"Added":     {mesh(nil, other), mesh(nil, selected, other), []string{"reviews"}},
		"Removed":   {mesh(nil, selected, other), mesh(nil, other), []string{"reviews"}},
		"Rewritten": {mesh(nil, selected, other), mesh(nil, &rewritten, other), []string{"reviews"}},
		"Swapped":   {mesh(nil, selected), mesh(nil, other), []string{"ratings", "reviews"}},
		"Whole":     {mesh(nil), mesh(nil, whole), []string{"ratings", "reviews"}},
		"Root":      {mesh(nil, root), mesh(nil), all},
		"Tokens":    {mesh(nil), mesh([]*model.RequestAuthentication{tokens}), []string{"ratings", "reviews"}},
		"Elsewhere": {mesh(nil, selected), elsewhere, all},
		"First":     {nil, mesh(nil, selected), all},
	} {
		t.Run(name, func(t *testing.T) {
			change := policy.Changed(test.before, test.after)
			var got []string
			for _, who := range all {
				if change.Concerns(guarded[who]) {
					got = append(got, who)
					continue
				}
				before := policy.Choose(test.before, guarded[who], nil)
				if !policy.Choose(test.after, guarded[who], nil).Same(before) {
					t.Errorf("%s isn't concerned, and its policies are others", who)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("concerns %q, want %q", got, test.want)
			}
		})
	}
}
