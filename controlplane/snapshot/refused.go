// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/patch"
)

const kindEnvoyFilter = "EnvoyFilter"

// compare pairs of texts one after the other.
func compare(a, b, c, d string) int { return cmp.Or(cmp.Compare(a, b), cmp.Compare(c, d)) }

// Refused is what is to be set aside of this snapshot's patches, after what
// proxies refuse now. Of several filters that made a resource the one that came
// last goes first; when the proxy has taken the rest, those that may be innocent
// are given back, one by one. settled tells whether a pod's proxy has taken all
// that it was sent, and whether it is there at all. It returns the Aside that the
// snapshot was built with when there is nothing to be done.
func (s *Snapshot) Refused(rejections []model.Rejection, settled func(namespace, name string) (done, connected bool)) *Aside {
	if s.aside == nil {
		return nil
	}
	next := *s.aside
	next.pods = maps.Clone(s.aside.pods)
	unplugged, changed := s.unplug(rejections)
	next.unplugged = unplugged
	by := map[objectName][]model.Rejection{}
	for i, r := range rejections {
		if i == maxBlamed {
			break
		}
		k := objectName{r.Proxy.Namespace, r.Proxy.Name}
		by[k] = append(by[k], r)
	}
	suspects := newTouches(s)
	for pod, list := range by {
		now := next.pods[pod].clone()
		now.stranger = s.Workload(pod.namespace, pod.name) == nil
		round := now.turns
		for _, r := range list {
			changed = now.refuse(s.aside, r, suspects.of(r), round) || changed
		}
		if len(now.of) > 0 {
			next.pods[pod] = now
		}
	}
	for pod, was := range s.aside.pods {
		if len(by[pod]) > 0 {
			continue
		}
		now := was.clone()
		done, connected := settled(pod.namespace, pod.name)
		if !now.goOn(done, connected) {
			continue
		}
		changed = true
		if next.pods[pod] = now; len(now.of) == 0 && now.trial == nil {
			delete(next.pods, pod)
		}
	}
	if !changed {
		return s.aside
	}
	return &next
}

func (s *spared) clone() *spared {
	if s == nil {
		return &spared{of: map[objectName]refusal{}}
	}
	out := *s
	out.of = maps.Clone(s.of)
	return &out
}

// refuse a resource that some filters had a hand in. Those with a turn of this
// round were just set aside, which may mend it.
func (s *spared) refuse(a *Aside, r model.Rejection, hands []culprit, round int) bool {
	type hand struct {
		of objectName
		culprit
	}
	var open []hand
	for _, c := range hands {
		k := objectName{c.origin.Namespace, c.origin.Name}
		had := s.of[k]
		if had.aside && had.turn >= round {
			return false
		}
		if c.origin.Kind == kindEnvoyFilter && !(had.aside && had.instead == nil) {
			open = append(open, hand{k, c})
		}
	}
	if len(open) == 0 {
		return false
	}
	// The one on trial, else the one that changed last, else the youngest.
	slices.SortFunc(open, func(x, y hand) int {
		return cmp.Or(s.tried(y.of)-s.tried(x.of), a.filters[y.of].since-a.filters[x.of].since, y.origin.Older(x.origin))
	})
	h := open[0]
	had := s.of[h.of]
	now := refusal{
		aside: true, turn: s.turns, what: rejected{h.field, r.TypeURL, r.Resource},
		proved: len(open) == 1 || s.tried(h.of) > 0,
	}
	switch {
	case had.aside: // what stands in for it is refused too
		now.proved = now.proved || had.proved
	case had.instead != nil:
		now.instead = had.instead
	default:
		now.instead = a.filters[h.of].before
	}
	goesOn := "is left out for it"
	if len(now.instead) > 0 {
		goesOn = "stays there as it was before the change"
	}
	now.problem = h.origin.Problem(h.field, model.RejectedByProxy, fmt.Sprintf(
		"pod %s/%s rejects %s, which this makes or changes, so the whole filter %s: %s; mend it or take it back",
		r.Proxy.Namespace, r.Proxy.Name, described(r), goesOn, oneLine(r.Reason)))
	s.of[h.of] = now
	s.turns++
	if s.trial != nil && *s.trial == h.of {
		s.trial = nil
	}
	return true
}

func (s *spared) tried(k objectName) int {
	if s.trial != nil && *s.trial == k {
		return 1
	}
	return 0
}

// goOn with finding out who is to blame, when the proxy refuses nothing.
func (s *spared) goOn(done, connected bool) bool {
	suspect := s.suspect()
	switch {
	case s.stranger && !connected:
		clear(s.of)
		s.trial = nil
		return true
	case s.trial == nil && suspect == nil:
		return false
	case !connected: // it tells itself when it is back
		maps.DeleteFunc(s.of, func(_ objectName, r refusal) bool { return r.aside && !r.proved })
		s.trial = nil
		return true
	case !done:
		return false
	}
	// What was on trial is innocent, and the next is tried.
	s.trial = suspect
	if suspect != nil {
		delete(s.of, *suspect)
	}
	return true
}

// touches finds the patches that have a hand in what is refused. Proxies share
// resources, so it looks at each once.
type touches struct {
	s    *Snapshot
	sets map[touch]*patch.Set
	made map[touch]bool
}

type touch struct {
	patch  *model.Patch
	router bool
	plain  *envoy.Resource
}

func newTouches(s *Snapshot) *touches {
	return &touches{s: s, sets: map[touch]*patch.Set{}, made: map[touch]bool{}}
}

// of a rejection: one culprit per object, sorted.
func (t *touches) of(r model.Rejection) []culprit {
	if r.Resource == "" {
		return nil
	}
	var plain *envoy.Resource
	looked := false
	var out []culprit
	for _, p := range t.s.chosen(r.Proxy) {
		if !looked {
			plain, looked = t.s.unpatched(r.Proxy).Get(r.TypeURL, r.Resource), true
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
