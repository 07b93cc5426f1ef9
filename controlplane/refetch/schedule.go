// SPDX-License-Identifier: Apache-2.0

package refetch

import "time"

// wish is one thing that is wanted.
type wish[K, V comparable] struct {
	key      K
	value    V
	fetched  time.Time
	failure  string
	failures int
	// next is when it is fetched; done is never again.
	next    time.Time
	done    bool
	running bool
}

func (w *wish[K, V]) has() bool {
	var none V
	return w.value != none
}

// schedule says when a thing is fetched again.
type schedule struct {
	retry, longest, refresh, maxAge time.Duration
	random                          func(int64) int64
}

func (o *Options[K, V]) schedule() schedule {
	return schedule{retry: o.Retry, longest: o.Longest, refresh: o.Refresh, maxAge: o.MaxAge, random: o.Random}
}

func (w *wish[K, V]) succeeded(value V, now time.Time, s schedule) {
	w.running = false
	w.value, w.fetched, w.failure, w.failures = value, now, "", 0
	w.done = s.refresh <= 0
	w.next = now.Add(s.jittered(s.refresh))
}

func (w *wish[K, V]) failed(why string, now time.Time, s schedule) {
	w.running = false
	w.failure = why
	if s.maxAge > 0 && now.Sub(w.fetched) > s.maxAge {
		var none V
		w.value = none
	}
	w.next = now.Add(s.jittered(s.pause(w.failures)))
	w.failures++
}

// pause after so many failures before the last one.
func (s schedule) pause(failures int) time.Duration {
	p := min(s.retry, s.longest)
	for range failures {
		if p > s.longest/2 {
			return s.longest
		}
		p *= 2
	}
	return p
}

func (s schedule) jittered(d time.Duration) time.Duration {
	return d - time.Duration(s.random(max(int64(d), 0)/10+1))
}
