// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Facts are what is to be written.
type Facts struct {
	// Conditions by object, as Conditions makes them.
	Conditions map[Object]metav1.Condition
	// Find tells an object as the mesh was made of it; false when it has none.
	Find func(Object) (Seen, bool)
}

// told is what is to be, or was, said of an object.
type told struct {
	seen      Seen
	condition metav1.Condition
}

func (t told) equal(u told) bool {
	return t.seen == u.seen && t.condition.Status == u.condition.Status && t.condition.Reason == u.condition.Reason && t.condition.Message == u.condition.Message
}

// entry is what is remembered of an object that has, or is to have, a condition.
type entry struct {
	// last is what was told; before anything was, its UID is empty.
	last told
	// at is when that was written.
	at time.Time
	// fine is since when nothing is wrong with the object; zero while something is.
	fine time.Time
	// notBefore is when to look at it again, after what went wrong.
	notBefore time.Time
	// sure: the API server had last when it was looked at last.
	sure bool
}

// task is an object to look at, and what it is to be told.
type task struct {
	of   Object
	want told
}

// plan compares what is to be told with what was told. It returns the objects to
// look at, those with news first, and when the next comes due; zero for never.
// Memory holds the entries, and loses those whose objects are gone.
//
// What the user changes is answered at once. When the object is the same and the
// rest of the mesh moved, or when proxies have yet to try what the user mended,
// an object that is fine is told so after it was fine for calm, and one is not
// told anything else more often than once per calm.
func plan(facts Facts, memory map[Object]*entry, now time.Time, calm time.Duration) (due []task, next time.Time) {
	if facts.Find == nil {
		return nil, time.Time{}
	}
	for o := range facts.Conditions {
		if memory[o] == nil {
			if _, ok := facts.Find(o); ok {
				memory[o] = &entry{}
			}
		}
	}
	for o, e := range memory {
		seen, ok := facts.Find(o)
		if !ok {
			delete(memory, o)
			continue
		}
		want := told{seen: seen}
		if want.condition, ok = facts.Conditions[o]; ok {
			e.fine = time.Time{}
		} else {
			want.condition = Condition(nil)
			if e.last.seen.UID == "" {
				delete(memory, o) // it was never told that anything is wrong
				continue
			}
			if e.fine.IsZero() {
				e.fine = now
			}
		}
		if e.sure && e.last.equal(want) {
			continue
		}
		at := e.notBefore
		if e.last.seen.UID != "" && !e.last.equal(want) && (e.last.seen == seen || e.last.condition.Reason == model.RejectedByProxy) {
			at = later(at, e.at.Add(calm))
			if !e.fine.IsZero() {
				at = later(at, e.fine.Add(calm))
			}
		}
		if now.Before(at) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		}
		due = append(due, task{o, want})
	}
	slices.SortFunc(due, func(a, b task) int {
		return cmp.Or(cmp.Compare(memory[a.of].turn(a.want), memory[b.of].turn(b.want)), compareObjects(a.of, b.of))
	})
	return due, next
}

// turn of an object among those that are due: news go first.
func (e *entry) turn(want told) int {
	if e.last.equal(want) {
		return 1
	}
	return 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
