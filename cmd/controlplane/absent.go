// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// share of the time in which it isn't looked for what concerns absent proxies only:
// what a look costs, so many times over.
const share = 20

// absent knows the Problems of what only proxies would see that this replica
// doesn't have. To find them everything is translated for them, so where there is
// much of that, and much that changes, they are looked for now and then. What its own
// proxies see is always told as it is.
type absent struct {
	now func() time.Time

	mu sync.Mutex
	// of this snapshot are the Problems beyond what it tells by itself.
	of     translated
	beyond []model.Problem
	// next is when to look again.
	next time.Time
}

// translated is a mesh as it was translated for some proxies, or for all.
type translated interface {
	Problems() []model.Problem
	AllProblems() []model.Problem
}

// problems of a mesh for all proxies that there should be.
func (a *absent) problems(s translated) []model.Problem {
	a.mu.Lock()
	defer a.mu.Unlock()
	own := s.Problems()
	told := make(map[model.Problem]bool, len(own))
	for _, p := range own {
		told[p] = true
	}
	if start := a.now(); a.of != s && !start.Before(a.next) {
		all := s.AllProblems()
		end := a.now()
		a.of, a.beyond, a.next = s, nil, end.Add(share*end.Sub(start))
		for _, p := range all {
			if !told[p] {
				a.beyond = append(a.beyond, p)
			}
		}
	}
	for _, p := range a.beyond {
		if !told[p] {
			own = append(own, p)
		}
	}
	return own
}
