// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"sync"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// made remembers the filters of chosen policies: many listeners ask for the same.
type made struct {
	mu sync.Mutex
	// settings that what is here was made with.
	settings *model.Settings
	// whole filters, and the same as listeners discover them; nil until asked for.
	whole *parts
	found *Filters
	// before are the configurations of what was chosen before.
	before *envoy.Layer
}

// parts are pieces of both kinds.
type parts struct{ http, tcp []piece }

func (m *made) parts(s *model.Settings, c *Chosen) parts {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.with(s)
	if m.whole == nil {
		m.whole = &parts{c.http(s), c.tcp(s)}
	}
	return *m.whole
}

func (m *made) discovered(s *model.Settings, c *Chosen) Filters {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.with(s)
	if m.found == nil {
		f := discovered(c.http(s), c.tcp(s), m.before)
		m.found, m.before = &f, nil
	}
	return *m.found
}

// with some settings, with m.mu held: what was made with others is dropped.
func (m *made) with(s *model.Settings) {
	if m.settings != s || s == nil {
		m.settings, m.whole, m.found = s, nil, nil
	}
}

// configs that were made of it; nil for none.
func (m *made) configs() *envoy.Layer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found == nil {
		return m.before
	}
	return m.found.Configs
}

// Shelf holds one Chosen of each content, so that workloads under the same
// policies share it, and with it its filters.
type Shelf struct {
	mu sync.Mutex
	of map[place][]*Chosen
}

// place on a shelf: what two that are the same have in common at a glance.
type place struct {
	authorizations, authentications int
	first                           *model.Authorization
}

// Put returns the one of this content that is on the shelf already, else c,
// which is from now on.
func (s *Shelf) Put(c *Chosen) *Chosen {
	p := place{authorizations: len(c.Authorizations), authentications: len(c.Authentications)}
	if p.authorizations > 0 {
		p.first = c.Authorizations[0]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.of[p] {
		if c.Same(known) {
			return known
		}
	}
	if s.of == nil {
		s.of = map[place][]*Chosen{}
	}
	s.of[p] = append(s.of[p], c)
	return c
}
