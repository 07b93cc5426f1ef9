// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// readiness is what the control plane still waits for. Peers and the hub are
// never among it: only what this member itself needs.
type readiness struct {
	mu      sync.Mutex
	waiting map[string]string // what → why
}

func newReadiness(what ...string) *readiness {
	r := &readiness{waiting: map[string]string{}}
	for _, w := range what {
		r.waiting[w] = "not started"
	}
	return r
}

// wait says why something isn't ready; it reports whether that is news.
func (r *readiness) wait(what, why string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := r.waiting[what] != why
	r.waiting[what] = why
	return news
}

// done says that something is ready.
func (r *readiness) done(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, what)
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	var lines []string
	for _, what := range slices.Sorted(maps.Keys(r.waiting)) {
		lines = append(lines, what+": "+r.waiting[what])
	}
	r.mu.Unlock()
	if len(lines) > 0 {
		http.Error(w, strings.Join(lines, "\n"), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}
