// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"hash/maphash"
	"maps"
	"runtime"
	"strings"
	"sync"
	"weak"
)

// nameSet is an immutable set of resource names that a stream subscribed to.
// Proxies of one class ask for the same names, so sets are interned: a thousand
// streams hold one set. nil is the empty set.
type nameSet struct {
	members map[string]struct{}
	sum     setSum
}

// setSum identifies a set: the sums of two hashes over its members, which do
// not depend on order. The seeds are random, so nobody can make two sets collide.
type setSum [2]uint64

func (s *nameSet) has(name string) bool {
	if s == nil {
		return false
	}
	_, ok := s.members[name]
	return ok
}

func (s *nameSet) size() int {
	if s == nil {
		return 0
	}
	return len(s.members)
}

// nameTable interns sets for as long as a stream holds them.
type nameTable struct {
	seeds [2]maphash.Seed
	mu    sync.Mutex
	sets  map[setSum]weak.Pointer[nameSet]
}

func newNameTable() *nameTable {
	return &nameTable{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		sets:  map[setSum]weak.Pointer[nameSet]{},
	}
}

// change returns s with some names added and some removed; a name in both is
// removed. The names may point into a larger buffer: what is kept is copied.
func (t *nameTable) change(s *nameSet, add, remove []string) *nameSet {
	var sum setSum
	if s != nil {
		sum = s.sum
	}
	changed := 0
	for _, n := range add {
		if !s.has(n) {
			sum = t.plus(sum, n)
			changed++
		}
	}
	for _, n := range remove {
		if s.has(n) {
			sum = t.minus(sum, n)
			changed++
		}
	}
	if changed == 0 {
		return s
	}
	// A name given twice makes a sum that belongs to no set, or to the right one.
	if known := t.find(sum); known != nil && !overlap(add, remove) {
		return known
	}
	return t.intern(s, add, remove)
}

// overlap is true when a name is added and removed at once. Requests that
// remove anything are small, so the square of it is not.
func overlap(add, remove []string) bool {
	if len(remove) == 0 || len(add) == 0 {
		return false
	}
	removed := make(map[string]struct{}, len(remove))
	for _, n := range remove {
		removed[n] = struct{}{}
	}
	for _, n := range add {
		if _, ok := removed[n]; ok {
			return true
		}
	}
	return false
}

func (t *nameTable) intern(s *nameSet, add, remove []string) *nameSet {
	out := &nameSet{members: make(map[string]struct{}, s.size()+len(add))}
	if s != nil {
		maps.Copy(out.members, s.members)
		out.sum = s.sum
	}
	for _, n := range add {
		if !out.has(n) {
			out.members[strings.Clone(n)] = struct{}{}
			out.sum = t.plus(out.sum, n)
		}
	}
	for _, n := range remove {
		if out.has(n) {
			delete(out.members, n)
			out.sum = t.minus(out.sum, n)
		}
	}
	if len(out.members) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.sets[out.sum].Value(); known != nil {
		return known
	}
	t.sets[out.sum] = weak.Make(out)
	runtime.AddCleanup(out, t.forget, out.sum)
	return out
}

func (t *nameTable) find(sum setSum) *nameSet {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sets[sum].Value()
}

// forget a set that no stream holds any more, unless it was made again since.
func (t *nameTable) forget(sum setSum) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.sets[sum]; ok && p.Value() == nil {
		delete(t.sets, sum)
	}
}

func (t *nameTable) plus(sum setSum, name string) setSum {
	for i, seed := range t.seeds {
		sum[i] += maphash.String(seed, name)
	}
	return sum
}

func (t *nameTable) minus(sum setSum, name string) setSum {
	for i, seed := range t.seeds {
		sum[i] -= maphash.String(seed, name)
	}
	return sum
}
