// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// reconcile compares what a reconnected client says it has with the view, and
// returns what differs and what is owed besides; nil when that is nothing.
func (s *session) reconcile(k kind, initial []held, owed []string) *payload {
	if len(owed) == 0 && s.upToDate(k, initial) {
		return nil
	}
	t, target := &s.types[k], s.target[k]
	has := make(map[string]string, len(initial))
	for _, h := range initial {
		has[h.name] = h.version
	}
	var sel selection
	var gone []*envoy.Resource
	answer := func(name string) {
		r := effective(k, target, name)
		version, known := has[name]
		switch {
		case r != nil && known && (version == r.Version || envoy.StandsIn(r.Version) && !envoy.StandsIn(version)):
			// It has what is wanted, or better.
		case known && get(target, name) == nil:
			gone = append(gone, &envoy.Resource{Name: name})
		case r == nil:
			sel.removed = append(sel.removed, name)
		default:
			sel.resources = append(sel.resources, r)
		}
	}
	if t.wanted != nil {
		for name := range t.wanted.members {
			answer(name)
		}
	}
	if t.all {
		for _, r := range all(target) {
			if !t.wanted.has(r.Name) {
				answer(r.Name)
			}
		}
		for name := range has {
			if get(target, name) == nil && !t.wanted.has(name) {
				gone = append(gone, &envoy.Resource{Name: name})
			}
		}
	}
	for _, name := range owed {
		if r := effective(k, target, name); r != nil {
			sel.resources = append(sel.resources, r)
		}
	}
	sorted(&sel.resources)
	sorted(&gone)
	if k.removesAtOnce() {
		sel.removed = append(sel.removed, resourceNames(gone)...)
	} else {
		t.depart(target, gone)
	}
	slices.Sort(sel.removed)
	return s.own(k, sel)
}

// upToDate is true when a client has just what it wants. It is the way that
// thousands of proxies take when a control plane restarts, so it makes nothing.
func (s *session) upToDate(k kind, initial []held) bool {
	t, target := &s.types[k], s.target[k]
	want := t.wanted.size()
	if t.all {
		want = count(target)
	}
	for _, h := range initial {
		r := get(target, h.name)
		if r == nil && k.answersUnknown() && t.wanted.has(h.name) {
			r = emptyResource(k, h.name)
		}
		if r == nil || r.Version != h.version || !t.wants(h.name) {
			return false
		}
		want--
	}
	if t.all && t.wanted != nil {
		for name := range t.wanted.members {
			if get(target, name) == nil {
				return false
			}
		}
	}
	return want == 0
}

// sorted by name, each name once.
func sorted(resources *[]*envoy.Resource) {
	slices.SortFunc(*resources, func(a, b *envoy.Resource) int { return byName(a, b.Name) })
	*resources = slices.CompactFunc(*resources, func(a, b *envoy.Resource) bool { return a.Name == b.Name })
}
