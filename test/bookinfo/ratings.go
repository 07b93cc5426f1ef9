// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"
)

// rated is what ratings tells: the stars that each reviewer gives.
type rated struct {
	ID      int            `json:"id"`
	Ratings map[string]int `json:"ratings"`
}

// Versions of ratings that misbehave, for tasks on resilience.
const (
	faulty      = "v-faulty"      // every second answer, by chance, is 503
	delayed     = "v-delayed"     // every second answer, by chance, takes 7 s
	unavailable = "v-unavailable" // 503 every other minute
	unhealthy   = "v-unhealthy"   // 503, and failing probes, every other quarter of an hour
)

// ratings keeps the stars of books in memory; who posts some changes them.
type ratings struct {
	version string
	// since tells how long it has been running, and chance draws from [0,1).
	since  func() time.Duration
	chance func() float64
	// slow is how long the delayed version takes.
	slow time.Duration

	mu   sync.Mutex
	kept map[int]map[string]int
}

func runRatings(ctx context.Context, p process) int {
	start := time.Now()
	s := &ratings{
		version: p.env("SERVICE_VERSION"), slow: 7 * time.Second,
		since: func() time.Duration { return time.Since(start) }, chance: rand.Float64,
	}
	return serve(ctx, p, "ratings", "9080", s.handler())
}

func (s *ratings) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if s.version == unhealthy && s.away() {
			answerJSON(w, http.StatusInternalServerError, map[string]string{"status": "Ratings is not healthy"})
			return
		}
		answerJSON(w, http.StatusOK, map[string]string{"status": "Ratings is healthy"})
	})
	mux.HandleFunc("GET /ratings/", s.get)
	mux.HandleFunc("POST /ratings/", s.post)
	return mux
}

// away tells whether a version that comes and goes is gone.
func (s *ratings) away() bool {
	period := map[string]time.Duration{unavailable: time.Minute, unhealthy: 15 * time.Minute}[s.version]
	return period > 0 && s.since()/period%2 == 1
}

func (s *ratings) get(w http.ResponseWriter, r *http.Request) {
	id, ok := bookID(w, r)
	if !ok {
		return
	}
	if s.away() || s.version == faulty && s.chance() <= 0.5 {
		answerJSON(w, http.StatusServiceUnavailable, failure("Service unavailable"))
		return
	}
	if s.version == delayed && s.chance() <= 0.5 {
		select {
		case <-time.After(s.slow):
		case <-r.Context().Done():
			return
		}
	}
	answerJSON(w, http.StatusOK, s.of(id))
}

func (s *ratings) of(id int) rated {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stars, posted := s.kept[id]; posted {
		return rated{ID: id, Ratings: stars}
	}
	return rated{ID: id, Ratings: map[string]int{"Reviewer1": 5, "Reviewer2": 4}}
}

func (s *ratings) post(w http.ResponseWriter, r *http.Request) {
	id, ok := bookID(w, r)
	if !ok {
		return
	}
	var stars map[string]int
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&stars); err != nil {
		answerJSON(w, http.StatusBadRequest, failure("please provide valid ratings JSON"))
		return
	}
	s.mu.Lock()
	if s.kept == nil {
		s.kept = map[int]map[string]int{}
	}
	s.kept[id] = stars
	s.mu.Unlock()
	answerJSON(w, http.StatusOK, s.of(id))
}

func bookID(w http.ResponseWriter, r *http.Request) (int, bool) {
	id, err := strconv.Atoi(path.Base(r.URL.Path))
	if err != nil {
		answerJSON(w, http.StatusBadRequest, failure("please provide numeric product ID"))
	}
	return id, err == nil
}
