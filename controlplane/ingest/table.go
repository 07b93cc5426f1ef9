// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// key names an object of a known kind.
type key struct{ namespace, name string }

func (k key) compare(o key) int {
	if c := cmp.Compare(k.namespace, o.namespace); c != 0 {
		return c
	}
	return cmp.Compare(k.name, o.name)
}

func (k key) String() string { return k.namespace + "/" + k.name }

// object is a pointer to a Kubernetes object.
type object interface {
	comparable
	metav1.Object
}

func keyOf[T object](o T) key { return key{o.GetNamespace(), o.GetName()} }

// change is one object that is not the one it was; old or new may be the zero pointer.
type change[T object] struct{ old, new T }

// table holds the objects of one kind, sorted by key, one per key.
type table[T object] struct {
	// given is the input slice as it came: the same slice again means no change.
	given []T
	rows  []T
	// problems name the objects that have the key of another one.
	problems []model.Problem
}

// next returns the table of in, and what differs from t.
func (t table[T]) next(kind string, in []T) (table[T], []change[T]) {
	if sameSlice(t.given, in) {
		return t, nil
	}
	next := table[T]{given: in, rows: in}
	changes, ok := diff(t.rows, in)
	if !ok {
		next.rows, next.problems = arrange(kind, in)
		changes, _ = diff(t.rows, next.rows)
	}
	return next, changes
}

func sameSlice[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// diff walks two slices side by side. It returns false when in is not sorted
// by key with each key once. Where both have the same pointers it compares
// nothing but these, so that a change costs little in a long slice.
func diff[T object](old, in []T) ([]change[T], bool) {
	var changes []change[T]
	var none T
	i, j, ordered := 0, 0, false
	for i < len(in) || j < len(old) {
		if i < len(in) && j < len(old) && in[i] == old[j] {
			if !ordered && i > 0 && keyOf(in[i-1]).compare(keyOf(in[i])) >= 0 {
				return nil, false
			}
			// The next pair, if equal too, is in order because old is.
			ordered = true
			i, j = i+1, j+1
			continue
		}
		ordered = false
		if i < len(in) && i > 0 && keyOf(in[i-1]).compare(keyOf(in[i])) >= 0 {
			return nil, false
		}
		switch c := compareAt(in, i, old, j); {
		case c < 0:
			changes = append(changes, change[T]{none, in[i]})
			i++
		case c > 0:
			changes = append(changes, change[T]{old[j], none})
			j++
		default:
			changes = append(changes, change[T]{old[j], in[i]})
			i, j = i+1, j+1
		}
	}
	return changes, true
}

// compareAt compares keys; the end of a slice comes after everything.
func compareAt[T object](a []T, i int, b []T, j int) int {
	switch {
	case i == len(a):
		return 1
	case j == len(b):
		return -1
	}
	return keyOf(a[i]).compare(keyOf(b[j]))
}

// arrange sorts a copy of in. Of several objects with one key, which only
// files can hold, the oldest stays.
func arrange[T object](kind string, in []T) ([]T, []model.Problem) {
	rows := slices.Clone(in)
	slices.SortFunc(rows, func(a, b T) int {
		if c := keyOf(a).compare(keyOf(b)); c != 0 {
			return c
		}
		return compareTwins(a, b)
	})
	var problems []model.Problem
	kept := rows[:0]
	for _, o := range rows {
		if len(kept) > 0 && keyOf(kept[len(kept)-1]) == keyOf(o) {
			if kept[len(kept)-1] != o {
				problems = append(problems, problem(kind, o, "metadata.name", Conflict,
					"there is more than one %s of this name; the oldest is used, remove the others", kind))
			}
			continue
		}
		kept = append(kept, o)
	}
	return kept, problems
}

// compareTwins orders two objects of one key by what they hold, so that the
// order in which they came does not matter.
func compareTwins[T object](a, b T) int {
	if c := compareAge(a, b); c != 0 {
		return c
	}
	// Objects out of Kubernetes always marshal; an error leaves nothing to tell them apart by.
	left, _ := json.Marshal(a)
	right, _ := json.Marshal(b)
	return slices.Compare(left, right)
}

// compareAge orders by creation, then by key: where several objects want the
// same, the first one has it.
func compareAge[T metav1.Object](a, b T) int {
	if c := a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time); c != 0 {
		return c
	}
	return key{a.GetNamespace(), a.GetName()}.compare(key{b.GetNamespace(), b.GetName()})
}

// find looks an object up in sorted rows.
func find[T object](rows []T, k key) (T, bool) {
	i, ok := slices.BinarySearchFunc(rows, k, func(o T, k key) int { return keyOf(o).compare(k) })
	if !ok {
		var none T
		return none, false
	}
	return rows[i], true
}
