// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"maps"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Aside remembers which EnvoyFilters which proxies refuse. What a filter makes of
// a listener would hold up all else that changes in that listener, so a proxy that
// refuses it gets on without that filter, or with what the filter was before, if
// that was good; until the filter changes. A proxy decides for itself alone: what
// one refuses is the others' as it was. The zero value, and nil, is nothing.
//
// It is a value: Next and Snapshot.Refused return another one, or the same when
// nothing is different.
type Aside struct {
	patches []*model.Patch
	filters map[objectName]filter
	pods    map[objectName]*spared
	// unplugged are the plugins that proxies go without.
	unplugged unplugged
	// looks counts what was looked at, for the order in which filters came.
	looks int
}

// objectName is an object of a kind that goes without saying.
type objectName struct{ namespace, name string }

// filter is an EnvoyFilter as it is now.
type filter struct {
	patches []*model.Patch
	// before is what it was until it changed; nil when it is new.
	before []*model.Patch
	// since is the look at which it came to be as it is.
	since int
}

// spared is what one pod's proxy is spared.
type spared struct {
	of map[objectName]refusal
	// trial is a filter that is given back to see whether it was to blame.
	trial *objectName
	turns int
	// stranger: there was no pod in the mesh when its proxy refused first.
	stranger bool
}

// refusal of a filter.
type refusal struct {
	// aside now; else only what may stand in is remembered.
	aside bool
	// instead stands in for it; nil for nothing.
	instead []*model.Patch
	// proved: nothing else can have been to blame.
	proved bool
	// turn in which it was set aside.
	turn    int
	what    rejected
	problem model.Problem
}

// rejected is a resource that is refused because of a field.
type rejected struct{ field, typeURL, resource string }

// Next is what still holds with the patches of another mesh: a filter that
// changed is tried again, one that is gone is forgotten.
func (a *Aside) Next(mesh *model.Mesh) *Aside {
	if a == nil {
		a = &Aside{}
	}
	if slices.Equal(a.patches, mesh.Patches) && (len(a.patches) > 0 || a.filters != nil) {
		return a.without(mesh)
	}
	next := &Aside{patches: mesh.Patches, filters: map[objectName]filter{}, looks: a.looks + 1, unplugged: a.unplugged}
	for _, p := range mesh.Patches {
		if p.Kind == kindEnvoyFilter {
			k := objectName{p.Namespace, p.Name}
			f := next.filters[k]
			f.patches = append(f.patches, p)
			next.filters[k] = f
		}
	}
	for k, f := range next.filters {
		old, known := a.filters[k]
		f.since = next.looks
		if known {
			f.before = old.patches
			if slices.Equal(old.patches, f.patches) {
				f = old
			}
		}
		next.filters[k] = f
	}
	next.pods = map[objectName]*spared{}
	for pod, s := range a.pods {
		if s = s.next(a.filters, next.filters); len(s.of) > 0 {
			next.pods[pod] = s
		}
	}
	return next.without(mesh)
}

// next is what a pod is spared of filters that may have changed.
func (s *spared) next(was, is map[objectName]filter) *spared {
	out := &spared{of: map[objectName]refusal{}, trial: s.trial, turns: s.turns, stranger: s.stranger}
	for k, r := range s.of {
		switch f, known := is[k]; {
		case !known:
		case slices.Equal(f.patches, was[k].patches):
			out.of[k] = r
		case r.aside && r.instead != nil:
			out.of[k] = refusal{instead: r.instead}
		}
	}
	if s.trial != nil && !slices.Equal(was[*s.trial].patches, is[*s.trial].patches) {
		out.trial = nil
	}
	return out
}

// without pods that are gone. Of those that the mesh never had, Refused sees when
// they go.
func (a *Aside) without(mesh *model.Mesh) *Aside {
	if u := a.unplugged.next(mesh); len(u) != len(a.unplugged) || !sameMap(u, a.unplugged) {
		out := *a
		out.unplugged = u
		a = &out
	}
	gone := func(pod objectName, s *spared) bool {
		return !s.stranger && mesh.Workload(pod.namespace, pod.name) == nil
	}
	some := false
	for pod, s := range a.pods {
		some = some || gone(pod, s)
	}
	if !some {
		return a
	}
	out := *a
	out.pods = maps.Clone(a.pods)
	maps.DeleteFunc(out.pods, gone)
	return &out
}

// Unsettled is true while it is still being found out which of several filters is
// to blame: then Refused has more to do though nobody refuses anything new.
func (a *Aside) Unsettled() bool {
	if a == nil {
		return false
	}
	for _, s := range a.pods {
		if s.trial != nil || s.suspect() != nil {
			return true
		}
	}
	return false
}

// suspect is the first filter set aside that may be innocent; nil for none.
func (s *spared) suspect() *objectName {
	var out *objectName
	for k, r := range s.of {
		if r.aside && !r.proved && (out == nil || r.turn < s.of[*out].turn) {
			out = &k
		}
	}
	return out
}

// patchesFor a proxy, in the order of the mesh's.
func (s *Snapshot) patchesFor(p *model.Proxy) []*model.Patch {
	if s.aside == nil {
		return s.mesh.Patches
	}
	pod := s.aside.pods[objectName{p.Namespace, p.Name}]
	if pod == nil {
		return s.mesh.Patches
	}
	var out []*model.Patch
	placed := map[objectName]bool{}
	for _, patch := range s.mesh.Patches {
		k := objectName{patch.Namespace, patch.Name}
		r := pod.of[k]
		switch {
		case patch.Kind != kindEnvoyFilter || !r.aside:
			out = append(out, patch)
		case !placed[k]:
			placed[k] = true
			out = append(out, r.instead...)
		}
	}
	return out
}

// problems of filters that proxies go without, each resource once.
func (a *Aside) problems() []model.Problem {
	if a == nil {
		return nil
	}
	type told struct {
		of   objectName
		what rejected
	}
	seen := map[told]bool{}
	out := a.unplugged.problems()
	byName := func(x, y objectName) int { return compare(x.namespace, y.namespace, x.name, y.name) }
	for _, pod := range slices.SortedFunc(maps.Keys(a.pods), byName) {
		s := a.pods[pod]
		for _, k := range slices.SortedFunc(maps.Keys(s.of), byName) {
			r := s.of[k]
			if !r.aside || !r.proved || seen[told{k, r.what}] {
				continue
			}
			seen[told{k, r.what}] = true
			out = append(out, r.problem)
		}
	}
	return out
}
