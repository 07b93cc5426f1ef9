// SPDX-License-Identifier: Apache-2.0

// Package refetch keeps what lies elsewhere: each thing that is wanted is
// fetched at once, tried again when that fails, and renewed. It stands beside
// the flow, under packages jwks and wasm, which say how a thing is fetched; what
// ingest wants is fetched here, and given back to ingest as one more input.
package refetch

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// Options of a Loop. Zero durations take what is said of them.
type Options[K, V comparable] struct {
	// Fetch one thing. What an error says is in Result.Failures.
	Fetch func(ctx context.Context, key K) (V, error)
	// Changed is called after the Result changed.
	Changed func()
	// Parallel fetches at most; 1.
	Parallel int
	// Retry is the first pause after a failure; 1 second. It doubles up to
	// Longest; a minute.
	Retry, Longest time.Duration
	// Refresh is the pause after a success; with 0 nothing is fetched again.
	Refresh time.Duration
	// MaxAge is how long a value is kept that can't be renewed; with 0 for ever.
	MaxAge time.Duration
	// Source of a key, or nil: what was fetched for one key stands in for another
	// one of the same source, until that one was fetched itself.
	Source func(K) K
	// Same is true for values of the same content, which are held once; nil holds
	// each.
	Same func(a, b V) bool
	// Random number below n; nil takes one at random. It shortens each pause by
	// up to a tenth, so that control planes don't all come at once.
	Random func(n int64) int64
}

// Loop keeps values. It may be used by many goroutines.
type Loop[K, V comparable] struct {
	options Options[K, V]
	wake    chan struct{}
	slots   chan struct{}

	mu     sync.Mutex
	wishes map[K]*wish[K, V]
	result Result[K, V]
}

// Result is what was fetched and what could not be. It is immutable: a change
// makes new maps, and what didn't change stays the same map.
type Result[K, V comparable] struct {
	Values map[K]V
	// Failures say why there is no value, or still an old one.
	Failures map[K]string
}

// New makes a loop that wants nothing yet.
func New[K, V comparable](o Options[K, V]) *Loop[K, V] {
	o.Parallel = max(o.Parallel, 1)
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	if o.Longest <= 0 {
		o.Longest = time.Minute
	}
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	return &Loop[K, V]{options: o, wake: make(chan struct{}, 1), slots: make(chan struct{}, o.Parallel), wishes: map[K]*wish[K, V]{}}
}

// Want these things and no others. New ones are fetched at once.
func (l *Loop[K, V]) Want(keys []K) {
	l.mu.Lock()
	now := make(map[K]*wish[K, V], len(keys))
	standIns := l.standIns()
	for _, k := range keys {
		switch {
		case now[k] != nil:
		case l.wishes[k] != nil:
			now[k] = l.wishes[k]
		default:
			now[k] = &wish[K, V]{key: k}
			if l.options.Source != nil {
				if w := standIns[l.options.Source(k)]; w != nil {
					now[k].value, now[k].fetched = w.value, w.fetched
				}
			}
		}
	}
	l.wishes = now
	l.publish()
}

// standIns by their source; of several the one that was fetched last. The lock
// is held.
func (l *Loop[K, V]) standIns() map[K]*wish[K, V] {
	if l.options.Source == nil {
		return nil
	}
	out := map[K]*wish[K, V]{}
	for _, w := range l.wishes {
		source := l.options.Source(w.key)
		if have := out[source]; w.has() && (have == nil || w.fetched.After(have.fetched)) {
			out[source] = w
		}
	}
	return out
}

// Result as it is now.
func (l *Loop[K, V]) Result() Result[K, V] {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.result
}

// Settled is true when each of these has been tried: there is a value, or a
// failure.
func (l *Loop[K, V]) Settled(keys []K) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		if w := l.wishes[k]; w == nil || !w.has() && w.failure == "" {
			return false
		}
	}
	return true
}

// Run until the context ends.
func (l *Loop[K, V]) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-timer.C:
		}
		due, next := l.due(time.Now())
		for _, w := range due {
			running.Go(func() {
				select {
				case l.slots <- struct{}{}:
					defer func() { <-l.slots }()
					l.fulfil(ctx, w)
				case <-ctx.Done():
				}
			})
		}
		timer.Reset(next)
	}
}

func (l *Loop[K, V]) fulfil(ctx context.Context, w *wish[K, V]) {
	value, err := l.options.Fetch(ctx, w.key)
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	if err == nil {
		w.succeeded(l.known(value), time.Now(), l.options.schedule())
	} else {
		w.failed(err.Error(), time.Now(), l.options.schedule())
	}
	l.publish()
}

// due wishes are marked as running. Next is when to look again.
func (l *Loop[K, V]) due(now time.Time) ([]*wish[K, V], time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := time.Hour
	var due []*wish[K, V]
	for _, w := range l.wishes {
		switch wait := w.next.Sub(now); {
		case w.running || w.done:
		case wait <= 0:
			w.running = true
			due = append(due, w)
		default:
			next = min(next, wait)
		}
	}
	return due, next
}

// known is the value of this content that is there already. The lock is held.
func (l *Loop[K, V]) known(value V) V {
	if l.options.Same == nil {
		return value
	}
	for _, w := range l.wishes {
		if w.has() && l.options.Same(w.value, value) {
			return w.value
		}
	}
	return value
}

// publish a new result, tell of it when something in it changed, and have the
// loop look again. The lock is held, and given back.
func (l *Loop[K, V]) publish() {
	r := Result[K, V]{Values: map[K]V{}, Failures: map[K]string{}}
	for k, w := range l.wishes {
		if w.has() {
			r.Values[k] = w.value
		}
		if w.failure != "" {
			r.Failures[k] = w.failure
		}
	}
	sameValues, sameFailures := maps.Equal(r.Values, l.result.Values), maps.Equal(r.Failures, l.result.Failures)
	if sameValues {
		r.Values = l.result.Values
	}
	if sameFailures {
		r.Failures = l.result.Failures
	}
	l.result = r
	l.mu.Unlock()
	if !sameValues || !sameFailures {
		l.options.Changed()
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
