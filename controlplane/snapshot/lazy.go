// SPDX-License-Identifier: Apache-2.0

package snapshot

import "sync"

// forgetAfter is how many snapshots a class outlives that no proxy of it asked
// for: snapshots follow each other faster than they are asked.
const forgetAfter = 64

// lazy is a value made when it is first asked for, out of what the same class
// had in an earlier snapshot. It holds on to one earlier value at most.
type lazy[T any] struct {
	mu      sync.Mutex
	done    bool
	value   T
	earlier T
	unasked int
}

// get returns the value, making it if need be.
func (l *lazy[T]) get(translate func(earlier T) T) T {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.done {
		var none T
		l.value, l.earlier, l.done = translate(l.earlier), none, true
	}
	return l.value
}

// next is this class in the snapshot that follows; nil when it is forgotten.
func (l *lazy[T]) next() *lazy[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return &lazy[T]{earlier: l.value}
	}
	if l.unasked >= forgetAfter {
		return nil
	}
	return &lazy[T]{earlier: l.earlier, unasked: l.unasked + 1}
}

// classes of one kind by what tells them apart.
type classes[K comparable, T any] struct {
	mu sync.Mutex
	of map[K]*lazy[T]
}

// class is made on first use.
func (c *classes[K, T]) class(k K) *lazy[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.of[k]
	if l == nil {
		l = new(lazy[T])
		c.of[k] = l
	}
	return l
}

// next are these classes in the snapshot that follows.
func (c *classes[K, T]) next() *classes[K, T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &classes[K, T]{of: make(map[K]*lazy[T], len(c.of))}
	for k, l := range c.of {
		if n := l.next(); n != nil {
			out.of[k] = n
		}
	}
	return out
}

// peek returns the value, or the earlier one when it is not made yet.
func (l *lazy[T]) peek() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return l.value
	}
	return l.earlier
}

// made values, of classes that were asked for.
func (c *classes[K, T]) made() []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []T
	for _, l := range c.of {
		l.mu.Lock()
		if l.done {
			out = append(out, l.value)
		}
		l.mu.Unlock()
	}
	return out
}
