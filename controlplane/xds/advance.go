// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// few resources are put together per stream; more are looked up among what
// streams share.
const few = 16

// advance brings one subscription from its base to the target and returns what
// the client must be told; nil when that is nothing.
func (s *session) advance(k kind) *payload {
	if p := s.difference(k); p != nil {
		return p
	}
	return s.one(k)
}

// one of the resources that are sent alone; nil when there is none. What the
// client doesn't take of them, it will name.
func (s *session) one(k kind) *payload {
	t := &s.types[k]
	for len(t.alone) > 0 {
		name := t.alone[0]
		t.alone = t.alone[1:]
		if r := get(s.target[k], name); r != nil && t.wants(name) && len(t.good([]*envoy.Resource{r})) > 0 {
			return s.own(k, selection{resources: []*envoy.Resource{r}})
		}
	}
	return nil
}

// difference between base and target, of what the client wants, and what is owed to it.
func (s *session) difference(k kind) *payload {
	t, target := &s.types[k], s.target[k]
	d := s.cache.diff(t.base, target)
	owed, initial, first := t.wantedOf(t.owed), t.initial, t.first
	t.base, t.owed, t.initial, t.first = target, nil, nil, false

	removed := t.had(d.removed())
	for _, r := range removed {
		delete(t.bad, r.Name)
	}
	if k.removesAtOnce() {
		removed = nil
	}
	t.depart(target, removed)
	switch {
	case s.sotw && k.whole():
		return s.advanceWhole(k, d, first, len(owed) > 0)
	case initial != nil:
		return s.reconcile(k, initial, owed)
	case !t.all && t.wanted == nil:
		return nil
	case s.sotw || len(owed) > 0 && !first || len(t.bad) > 0:
		return s.mixed(k, d, owed)
	case first && !t.all:
		return s.cache.payload(payloadKey{kind: k, layers: target, only: t.wanted})
	}
	return s.changes(k, d, first)
}

// changes of a difference, for a client that is owed nothing else: what streams
// share.
func (s *session) changes(k kind, d difference, first bool) *payload {
	t := &s.types[k]
	var parts []*payload
	for _, part := range d {
		key := payloadKey{kind: k, diff: part, removals: k.removesAtOnce(), only: t.only()}
		// Changes that are wanted in full need no payload for this set of names.
		if n := len(part.changed); n <= few && len(key.only.filter(part.changed)) == n && (len(part.removed) == 0 || !key.removals) {
			key.only = nil
		}
		if p := s.cache.payload(key); !p.empty() {
			parts = append(parts, p)
		}
	}
	switch {
	case len(parts) > 0:
		return together(parts)
	case first:
		return newPayload(k, false, selection{})
	}
	return nil
}

// mixed is for a client that is owed answers besides the changes, or has
// rejected some of them, or wants the state of the world.
func (s *session) mixed(k kind, d difference, owed []string) *payload {
	t, target := &s.types[k], s.target[k]
	due := append(slices.Clone(owed), resourceNames(t.good(t.had(d.changed())))...)
	var removed []string
	if k.removesAtOnce() {
		removed = resourceNames(t.had(d.removed()))
	}
	if len(due) > few && len(removed) == 0 && !s.sotw {
		return s.cache.payload(payloadKey{kind: k, layers: target, only: s.names.change(nil, due, nil)})
	}
	slices.Sort(due)
	sel := chooseSorted(k, target, slices.Compact(due))
	sel.removed = append(sel.removed, removed...)
	slices.Sort(sel.removed)
	sel.removed = slices.Compact(sel.removed)
	return s.own(k, sel)
}

// own is a payload for this stream alone; nil when there is nothing in it.
func (s *session) own(k kind, sel selection) *payload {
	if sel.empty() || s.sotw && len(sel.resources) == 0 {
		return nil
	}
	if s.sotw {
		sel.version = s.cache.version(s.target[k])
	}
	return newPayload(k, s.sotw, sel)
}

// advanceWhole is for the types of which a state-of-the-world response is
// everything. Clusters that went stay in it until what led to them is gone.
func (s *session) advanceWhole(k kind, d difference, first, owed bool) *payload {
	t, target := &s.types[k], s.target[k]
	accepted := t.accepted
	t.accepted = ""
	if first && t.all && accepted != "" && accepted == s.cache.version(target) {
		return nil
	}
	changed := t.had(d.changed())
	if len(changed) == 0 && !first && !owed && !(k.removesAtOnce() && len(t.had(d.removed())) > 0) {
		return nil
	}
	if k == clusters {
		s.warming = newPayload(k, true, selection{resources: changed})
	}
	p := s.everything(k)
	if len(t.gone) > 0 {
		p = newPayload(k, true, selection{
			resources: merged(p.resources, t.gone),
			// Not the version of the view: a client that reconnects must get it again.
			version: p.version + "+",
		})
	}
	return p
}

// everything that a state-of-the-world client wants of a type.
func (s *session) everything(k kind) *payload {
	t, target := &s.types[k], s.target[k]
	sel := selection{resources: all(target)}
	if !t.all {
		sel.resources = t.had(sel.resources)
	}
	sel.version = s.cache.version(target)
	return newPayload(k, true, sel)
}
