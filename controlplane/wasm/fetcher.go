// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Options of a Fetcher.
type Options struct {
	// Permit says whether a module may be fetched from an address; see Guard.
	Permit func(netip.Addr) error
	// TLS of connections; nil verifies with the system's roots.
	TLS *tls.Config
	// Plain are registries, as "host" or "host:port", that are asked without TLS.
	Plain []string
	// Secret reads the Docker configuration (JSON) in a Secret; nil knows none.
	Secret func(ctx context.Context, namespace, name string) ([]byte, error)
	// MaxBytes of a module, and of what it is packed in; DefaultMaxBytes.
	MaxBytes int64
	// Timeout of one attempt; 2 minutes.
	Timeout time.Duration
	// Retry is the first pause after a failure; it doubles up to a minute. 1 second.
	Retry time.Duration
	// Registry of metrics; nil counts nothing.
	Registry *prometheus.Registry
}

// DefaultMaxBytes of a module. Every proxy that runs it gets it by its
// configuration stream.
const DefaultMaxBytes = 64 << 20

// longestPause between attempts.
const longestPause = time.Minute

// parallel fetches at most: each may hold MaxBytes several times.
const parallel = 4

// Fetcher keeps modules in memory. It may be used by many goroutines.
type Fetcher struct {
	options Options
	client  *http.Client
	changed func()
	wake    chan struct{}
	slots   chan struct{}
	fetches *prometheus.CounterVec

	mu     sync.Mutex
	wishes map[extensions.Wanted]*wish
	result Result
}

// Result is what was fetched and what could not be. It is immutable: a change
// makes new maps.
type Result struct {
	Modules map[extensions.Wanted]*model.WasmModule
	// Failures say why a module isn't there, or is still an old one.
	Failures map[extensions.Wanted]string
}

// wish is one module.
type wish struct {
	wanted extensions.Wanted
	module *model.WasmModule
	// done: it was fetched for this very wish, and is not fetched again.
	done     bool
	failure  string
	failures int
	next     time.Time
	running  bool
}

// New makes a fetcher; changed is called after its Result changed.
func New(o Options, changed func()) *Fetcher {
	if o.Permit == nil {
		o.Permit = Guard()
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	f := &Fetcher{
		options: o, client: client(o.Permit, o.TLS), changed: changed,
		wake: make(chan struct{}, 1), slots: make(chan struct{}, parallel), wishes: map[extensions.Wanted]*wish{},
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmesh_wasm_fetches_total", Help: "Attempts to fetch a module of a WasmPlugin, by result.",
		}, []string{"result"}),
	}
	if o.Registry != nil {
		o.Registry.MustRegister(f.fetches)
	}
	return f
}

// Want these modules and no others. New ones are fetched at once. One that is
// wanted anew because its object changed is the old one until it was fetched.
func (f *Fetcher) Want(wanted []extensions.Wanted) {
	f.mu.Lock()
	sources := map[extensions.Wanted]*model.WasmModule{}
	for w, s := range f.wishes {
		if s.module != nil {
			sources[w.Source()] = s.module
		}
	}
	now := make(map[extensions.Wanted]*wish, len(wanted))
	for _, w := range wanted {
		if now[w] = f.wishes[w]; now[w] == nil {
			now[w] = &wish{wanted: w, module: sources[w.Source()]}
		}
	}
	f.wishes = now
	news := f.publish()
	f.mu.Unlock()
	if news {
		f.changed()
	}
	f.nudge()
}

func (f *Fetcher) nudge() {
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

// Settled is true when each of these has been tried: there is a module, or a
// failure.
func (f *Fetcher) Settled(wanted []extensions.Wanted) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range wanted {
		if s := f.wishes[w]; s == nil || s.module == nil && s.failure == "" {
			return false
		}
	}
	return true
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
					f.fulfil(ctx, s)
				case <-ctx.Done():
				}
			})
		}
		timer.Reset(next)
	}
}

// due wishes are marked as running. Next is when to look again.
func (f *Fetcher) due(now time.Time) ([]*wish, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := time.Hour
	var due []*wish
	for _, s := range f.wishes {
		switch wait := s.next.Sub(now); {
		case s.running || s.done:
		case wait <= 0:
			s.running = true
			due = append(due, s)
		default:
			next = min(next, wait)
		}
	}
	return due, next
}

func (f *Fetcher) fulfil(ctx context.Context, s *wish) {
	attempt, cancel := context.WithTimeout(ctx, f.options.Timeout)
	code, err := f.fetch(attempt, s.wanted)
	cancel()
	if ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	s.running = false
	if err == nil {
		f.fetches.WithLabelValues("success").Inc()
		s.module, s.done, s.failure = f.known(code), true, ""
	} else {
		f.fetches.WithLabelValues("failure").Inc()
		s.failure = err.Error()
		pause := longestPause
		if s.failures < 16 {
			pause = min(pause, f.options.Retry<<s.failures)
		}
		s.failures++
		s.next = time.Now().Add(pause - time.Duration(rand.Int64N(int64(pause)/10+1)))
	}
	news := f.publish()
	f.mu.Unlock()
	if news {
		f.changed()
	}
	f.nudge()
}

// known returns the module of this code; the same one when it is there already.
// The lock is held.
func (f *Fetcher) known(code []byte) *model.WasmModule {
	sum := sha256.Sum256(code)
	m := &model.WasmModule{SHA256: hex.EncodeToString(sum[:]), Code: code}
	for _, s := range f.wishes {
		if s.module != nil && s.module.SHA256 == m.SHA256 {
			return s.module
		}
	}
	return m
}

// publish a new result when something in it changed. The lock is held.
func (f *Fetcher) publish() bool {
	r := Result{Modules: map[extensions.Wanted]*model.WasmModule{}, Failures: map[extensions.Wanted]string{}}
	for w, s := range f.wishes {
		if s.module != nil {
			r.Modules[w] = s.module
		}
		if s.failure != "" {
			r.Failures[w] = s.failure
		}
	}
	same := true
	if maps.Equal(r.Modules, f.result.Modules) {
		r.Modules = f.result.Modules
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
