// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"reflect"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// delegated are rules of a routing that stand one after the other and that
// another object says.
type delegated struct {
	// to the routing of this object, of its hosts.
	root  object
	hosts []string
	rules []model.HTTPRule
}

// delegatedBy a routing, in the order in which they stand there.
func delegatedBy(r *model.Routing) []delegated {
	var out []delegated
	for i := 0; i < len(r.HTTP); {
		n := delegation(r.HTTP[i:])
		if r.HTTP[i].Delegate != nil {
			out = append(out, delegated{objectOf(r.Origin), r.Hosts, r.HTTP[i : i+n]})
		}
		i += n
	}
	return out
}

// delegation is how many of the first rules one object says.
func delegation(rules []model.HTTPRule) int {
	n := 1
	for n < len(rules) && (rules[n].Delegate == nil) == (rules[0].Delegate == nil) && (rules[n].Delegate == nil || *rules[n].Delegate == *rules[0].Delegate) {
		n++
	}
	return n
}

// differDelegates adds the objects that say rules of routings which only one of
// two lists has.
func differDelegates(into map[object]bool, before, after []*model.Routing) {
	only := map[*model.Routing]int{}
	for _, r := range before {
		only[r]++
	}
	for _, r := range after {
		only[r]--
	}
	for r, n := range only {
		for i := range r.HTTP {
			if d := r.HTTP[i].Delegate; n != 0 && d != nil {
				into[objectOf(*d)] = true
			}
		}
	}
}

// sameOwn is true for pieces that say the same, but for what other objects say in them.
func sameOwn(a, b *pieces) bool { return reflect.DeepEqual(a.own(), b.own()) }

// own are pieces without what other objects say in them.
func (p *pieces) own() *pieces {
	if p == nil || !slices.ContainsFunc(p.routings, func(r *model.Routing) bool { return len(delegatedBy(r)) > 0 }) {
		return p
	}
	out := *p
	out.routings = nil
	for _, r := range p.routings {
		copied := *r
		copied.HTTP = slices.DeleteFunc(slices.Clone(r.HTTP), func(h model.HTTPRule) bool { return h.Delegate != nil })
		out.routings = append(out.routings, &copied)
	}
	return &out
}

// fits is true when there are as many places for rules of a delegate as there were.
func fits(before, now []delegated) bool {
	return slices.EqualFunc(before, now, func(a, b delegated) bool { return a.root == b.root && slices.Equal(a.hosts, b.hosts) })
}

// closedDelegates stand in for rules of a delegate: the same matches, whose calls fail.
func closedDelegates(list []delegated) []standIn {
	p := &pieces{}
	for _, d := range list {
		c := delegated{root: d.root, hosts: d.hosts}
		for _, r := range d.rules {
			c.rules = append(c.rules, r.Barred(refusedMessage))
		}
		p.delegated = append(p.delegated, c)
	}
	return []standIn{{closed, p}}
}

// replacedDelegates puts other rules in the places of those that objects say for
// other objects' routings. Where there are more places now than there were when
// the stand-in was made, they are barred.
func replacedDelegates(list []*model.Routing, instead map[object]standIn) []*model.Routing {
	out := list
	used := map[object]int{}
	for i, r := range list {
		if !slices.ContainsFunc(r.HTTP, func(h model.HTTPRule) bool {
			if h.Delegate == nil {
				return false
			}
			_, ok := instead[objectOf(*h.Delegate)]
			return ok
		}) {
			continue
		}
		copied := *r
		copied.HTTP = nil
		for rest := r.HTTP; len(rest) > 0; {
			n := delegation(rest)
			copied.HTTP = append(copied.HTTP, insteadOf(rest[:n], objectOf(r.Origin), instead, used)...)
			rest = rest[n:]
		}
		if &out[0] == &list[0] {
			out = slices.Clone(list)
		}
		out[i] = &copied
	}
	return out
}

// insteadOf rules that stand one after the other in a root's routing.
func insteadOf(rules []model.HTTPRule, root object, instead map[object]standIn, used map[object]int) []model.HTTPRule {
	if rules[0].Delegate == nil {
		return rules
	}
	k := objectOf(*rules[0].Delegate)
	by, ok := instead[k]
	if !ok {
		return rules
	}
	at := used[k]
	used[k]++
	if by.pieces == nil {
		return nil
	}
	if at < len(by.pieces.delegated) && by.pieces.delegated[at].root == root {
		return by.pieces.delegated[at].rules
	}
	var out []model.HTTPRule
	for _, r := range rules {
		out = append(out, r.Barred(refusedMessage))
	}
	return out
}
