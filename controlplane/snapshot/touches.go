// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/patch"
)

// touches finds the patches that have a hand in what is refused. Proxies share
// resources, so it looks at each once.
type touches struct {
	sets map[touch]*patch.Set
	made map[touch]bool
}

type touch struct {
	patch  *model.Patch
	router bool
	plain  *envoy.Resource
}

func newTouches() *touches {
	return &touches{sets: map[touch]*patch.Set{}, made: map[touch]bool{}}
}

// of a rejection, of what a proxy sees in a snapshot: one culprit per object, sorted.
func (t *touches) of(s *Snapshot, r model.Rejection) []culprit {
	if r.Resource == "" || len(s.mesh.Patches) == 0 {
		return nil
	}
	var plain *envoy.Resource
	looked := false
	var out []culprit
	for _, p := range s.chosen(r.Proxy) {
		if !looked {
			plain, looked = s.unpatched(r.Proxy).Get(r.TypeURL, r.Resource), true
		}
		if !t.touches(p, r, plain) {
			continue
		}
		field := "spec"
		if p.Kind == kindEnvoyFilter {
			field = fmt.Sprintf("spec.configPatches[%d].patch.value", p.Index)
		}
		out = append(out, culprit{p.Origin, field})
	}
	return out
}

func (t *touches) touches(p *model.Patch, r model.Rejection, plain *envoy.Resource) bool {
	k := touch{p, r.Proxy.Type == model.Router, plain}
	if is, ok := t.made[k]; ok && plain != nil {
		return is
	}
	of := touch{patch: p, router: k.router}
	set := t.sets[of]
	if set == nil {
		set, _ = patch.NewSet([]*model.Patch{p}, k.router)
		t.sets[of] = set
	}
	is := false
	if plain != nil {
		now, _ := set.Resource(r.TypeURL, plain)
		is = now != plain
	} else {
		added, _ := set.Added(r.TypeURL)
		is = slices.ContainsFunc(added, func(a *envoy.Resource) bool { return a.Name == r.Resource })
	}
	t.made[k] = is
	return is
}
