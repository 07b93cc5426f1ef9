// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"sync"
	"weak"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// cache holds what the streams have in common while one snapshot is current:
// differences between layers, payloads and versions. Each is computed once, by
// whoever needs it first. It is dropped with its snapshot, and payloads when no
// stream sends them any more.
type cache struct {
	layers   memo[layerPair, *diff]
	joined   memo[layersPair, *diff]
	versions memo[envoy.Layers, string]

	mu       sync.Mutex
	payloads map[payloadKey]weak.Pointer[payload]
}

type layerPair struct{ old, next *envoy.Layer }

type layersPair struct{ old, next envoy.Layers }

// payloadKey says what is in a payload: what changed in a diff, and with
// removals what went; or, with diff nil, the resources of layers. Of these only
// the names of a set, or with only nil everything.
type payloadKey struct {
	kind     kind
	removals bool
	diff     *diff
	layers   envoy.Layers
	only     *nameSet
}

func newCache() *cache { return &cache{payloads: map[payloadKey]weak.Pointer[payload]{}} }

// diff of what a view's layers were and are; nil when nothing differs. Equal
// arguments give the same pointers.
func (c *cache) diff(old, next envoy.Layers) difference {
	if old == next {
		return nil
	}
	shared, own := c.layerDiff(old.Shared, next.Shared), c.layerDiff(old.Own, next.Own)
	switch {
	case shared.empty() && own.empty():
		return nil
	case own.empty():
		return difference{shared}
	case shared.empty():
		return difference{own}
	case len(shared.removed)+len(own.removed) > 0:
		// A name may have gone from one to the other.
		return difference{c.joined.get(layersPair{old, next}, func() *diff { return join(shared, own) })}
	}
	return difference{shared, own}
}

func (c *cache) layerDiff(old, next *envoy.Layer) *diff {
	if old == next {
		return nil
	}
	return c.layers.get(layerPair{old, next}, func() *diff { return layerDiff(old, next) })
}

func (c *cache) version(l envoy.Layers) string {
	return c.versions.get(l, func() string { return version(l) })
}

// payload shared by all delta streams that are to be told the same.
func (c *cache) payload(key payloadKey) *payload {
	c.mu.Lock()
	p := c.payloads[key].Value()
	c.mu.Unlock()
	if p != nil {
		return p
	}
	// Two streams may make the same payload at once; one of them stays.
	made := newPayload(key.kind, false, key.selection())
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.payloads[key].Value(); p != nil {
		return p
	}
	c.payloads[key] = weak.Make(made)
	return made
}

func (key payloadKey) selection() selection {
	switch {
	case key.diff == nil && key.only == nil:
		return selection{resources: all(key.layers)}
	case key.diff == nil:
		return choose(key.kind, key.layers, key.only)
	}
	s := selection{resources: key.only.filter(key.diff.changed)}
	if key.removals {
		s.removed = resourceNames(key.only.filter(key.diff.removed))
	}
	return s
}

// memo computes a value per key at most once.
type memo[K comparable, V any] struct {
	mu sync.Mutex
	of map[K]*once[V]
}

type once[V any] struct {
	sync.Once
	value V
}

func (m *memo[K, V]) get(key K, make func() V) V {
	m.mu.Lock()
	if m.of == nil {
		m.of = map[K]*once[V]{}
	}
	e, ok := m.of[key]
	if !ok {
		e = &once[V]{}
		m.of[key] = e
	}
	m.mu.Unlock()
	e.Do(func() { e.value = make() })
	return e.value
}
