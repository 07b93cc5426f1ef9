// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"crypto/tls"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/ingest/security"
)

// Options of a Fetcher. Zero fields take what is said of them.
type Options struct {
	// Permit says whether a key set may be fetched from an address; Guard().
	Permit func(netip.Addr) error
	// TLS of connections; nil verifies with the system's roots.
	TLS *tls.Config
	// Refresh is how often key sets are fetched again; 20 minutes, as in Istio.
	Refresh time.Duration
	// Retry is the first pause after a failure; it doubles up to Refresh. 1 second.
	Retry time.Duration
	// MaxAge is how long a key set is used when it can't be fetched any more; a day.
	MaxAge time.Duration
}

// Fetcher keeps key sets. It may be used by many goroutines.
type Fetcher struct {
	options Options
	client  *http.Client
	changed func()
	wake    chan struct{}
	slots   chan struct{}

	mu     sync.Mutex
	sets   map[string]*set
	result Result
}

// Result is what was fetched and what could not be. It is immutable: a change
// makes new maps.
type Result struct {
	// Keys are key sets by address.
	Keys map[string]string
	// Failures say why an address has no key set, or still an old one.
	Failures map[string]string
}

// set is one address.
type set struct {
	wanted   security.Wanted
	keys     string
	fetched  time.Time
	failure  string
	failures int
	next     time.Time
	running  bool
}

// parallel fetches at most.
const parallel = 8

// New makes a fetcher; changed is called after its Result changed.
func New(o Options, changed func()) *Fetcher {
	if o.Permit == nil {
		o.Permit = Guard()
	}
	o.Refresh = or(o.Refresh, 20*time.Minute)
	o.Retry = or(o.Retry, time.Second)
	o.MaxAge = or(o.MaxAge, 24*time.Hour)
	return &Fetcher{
		options: o, client: client(o.Permit, o.TLS), changed: changed,
		wake: make(chan struct{}, 1), slots: make(chan struct{}, parallel), sets: map[string]*set{},
	}
}

func or(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}

// Want these key sets and no others. New ones are fetched at once.
func (f *Fetcher) Want(wanted []security.Wanted) {
	f.mu.Lock()
	now := make(map[string]*set, len(wanted))
	for _, w := range wanted {
		s := f.sets[w.URI]
		if s == nil {
			s = &set{}
		}
		s.wanted = w
		now[w.URI] = s
	}
	f.sets = now
	gone := f.publish()
	f.mu.Unlock()
	if gone {
		f.changed()
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Result as it is now.
func (f *Fetcher) Result() Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.result
}

// Run until the context ends.
func (f *Fetcher) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-timer.C:
		}
		due, next := f.due(time.Now())
		for _, s := range due {
			running.Go(func() {
				select {
				case f.slots <- struct{}{}:
					defer func() { <-f.slots }()
					f.renew(ctx, s)
				case <-ctx.Done():
				}
			})
		}
		timer.Reset(next)
	}
}

// due sets are marked as running. Next is when to look again.
func (f *Fetcher) due(now time.Time) ([]*set, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.options.Refresh
	var due []*set
	for _, s := range f.sets {
		switch wait := s.next.Sub(now); {
		case s.running:
		case wait <= 0:
			s.running = true
			due = append(due, s)
		default:
			next = min(next, wait)
		}
	}
	return due, next
}

func (f *Fetcher) renew(ctx context.Context, s *set) {
	f.mu.Lock()
	wanted := s.wanted
	f.mu.Unlock()
	keys, err := fetch(ctx, f.client, wanted.URI, wanted.Timeout)
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	f.mu.Lock()
	s.running = false
	if err == nil {
		s.keys, s.fetched, s.failure, s.failures = keys, now, "", 0
		s.next = now.Add(jittered(f.options.Refresh))
	} else {
		s.failure = err.Error()
		if s.keys != "" && now.Sub(s.fetched) > f.options.MaxAge {
			s.keys = ""
		}
		pause := f.options.Refresh
		if s.failures < 20 {
			pause = min(pause, f.options.Retry<<s.failures)
		}
		s.failures++
		s.next = now.Add(jittered(pause))
	}
	changed := f.publish()
	f.mu.Unlock()
	if changed {
		f.changed()
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// jittered spreads fetches, so that control planes don't all come at once.
func jittered(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/10+1))
}

// publish a new result when something in it changed. The lock is held.
func (f *Fetcher) publish() bool {
	r := Result{Keys: map[string]string{}, Failures: map[string]string{}}
	for uri, s := range f.sets {
		if s.keys != "" {
			r.Keys[uri] = s.keys
		}
		if s.failure != "" {
			r.Failures[uri] = s.failure
		}
	}
	same := true
	if maps.Equal(r.Keys, f.result.Keys) {
		r.Keys = f.result.Keys
	} else {
		same = false
	}
	if maps.Equal(r.Failures, f.result.Failures) {
		r.Failures = f.result.Failures
	} else {
		same = false
	}
	f.result = r
	return !same
}

// Settled is true when each of these has been tried: there is a key set, or a
// failure.
func (f *Fetcher) Settled(wanted []security.Wanted) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range wanted {
		if s := f.sets[w.URI]; s == nil || s.keys == "" && s.failure == "" {
			return false
		}
	}
	return true
}
