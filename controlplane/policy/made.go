// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"sync"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// made remembers the filters of chosen policies: many listeners ask for the same.
type made struct {
	mu       sync.Mutex
	settings *model.Settings
	both     filters
}

type filters struct {
	http []*hcmv3.HttpFilter
	tcp  []*listenerv3.Filter
}

func (m *made) filters(s *model.Settings, c *Chosen) filters {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.settings != s || m.settings == nil {
		m.settings, m.both = s, filters{http: c.http(s), tcp: c.tcp(s)}
	}
	return m.both
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
