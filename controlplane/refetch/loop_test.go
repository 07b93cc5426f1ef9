// SPDX-License-Identifier: Apache-2.0

package refetch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/refetch"
)

// server answers by the number of the attempt at a key, and remembers when it
// was asked. The clock is the bubble's.
type server struct {
	mu     sync.Mutex
	began  time.Time
	asked  map[string][]time.Duration
	answer func(key string, n int) (string, error)
	takes  time.Duration
	at     int
	most   int
}

func (s *server) fetch(ctx context.Context, key string) (string, error) {
	s.mu.Lock()
	n := len(s.asked[key])
	s.asked[key] = append(s.asked[key], time.Since(s.began))
	s.at++
	s.most = max(s.most, s.at)
	s.mu.Unlock()
	takes := s.takes
	if n > 100 {
		takes = 1000 * time.Hour // a loop without pauses must fail, not go on for ever
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at--
	return s.answer(key, n)
}

// run a loop in a bubble with a clock of its own.
func run(t *testing.T, s *server, o refetch.Options[string, string], f func(*testing.T, *refetch.Loop[string, string])) {
	synctest.Test(t, func(t *testing.T) {
		s.began, s.asked, s.at, s.most = time.Now(), map[string][]time.Duration{}, 0, 0
		o.Fetch = s.fetch
		if o.Changed == nil {
			o.Changed = func() {}
		}
		if o.Random == nil {
			o.Random = func(int64) int64 { return 0 }
		}
		l := refetch.New(o)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		f(t, l)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// pass time, until nothing more happens at that moment.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

var errAway = errors.New("it is away")

// failing answers by a pattern: x is a failure, a letter a value; the last one
// goes on.
func failing(pattern string) func(string, int) (string, error) {
	return func(_ string, n int) (string, error) {
		if c := pattern[min(n, len(pattern)-1)]; c != 'x' {
			return string(c), nil
		}
		return "", errAway
	}
}

// TestSchedule: when a thing is fetched, and what there is at the end.
func TestSchedule(t *testing.T) {
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		answers string
		options refetch.Options[string, string]
		for_    time.Duration
		asked   []time.Duration
		value   string
		failure string
	}{
		"Once": {answers: "ab", for_: day, asked: []time.Duration{0}, value: "a"},
		"Renewed": {
			answers: "abc", options: refetch.Options[string, string]{Refresh: 20 * time.Minute}, for_: 50 * time.Minute,
			asked: []time.Duration{0, 20 * time.Minute, 40 * time.Minute}, value: "c",
		},
		"Doubles": {
			answers: "x", options: refetch.Options[string, string]{Retry: time.Second, Longest: 5 * time.Second}, for_: 15 * time.Second,
			asked: []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second, 12 * time.Second}, failure: "it is away",
		},
		"UnusualBounds": {
			answers: "x", options: refetch.Options[string, string]{Retry: 1 << 62, Longest: 1 << 62}, for_: day,
			asked: []time.Duration{0}, failure: "it is away",
		},
		"RetryAboveLongest": {
			answers: "x", options: refetch.Options[string, string]{Retry: time.Hour, Longest: time.Minute}, for_: 150 * time.Second,
			asked: []time.Duration{0, time.Minute, 2 * time.Minute}, failure: "it is away",
		},
		"Defaults": {
			answers: "xxxxxxxa", for_: day,
			asked: []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second, 63 * time.Second, 123 * time.Second}, value: "a",
		},
		"SuccessForgetsFailures": {
			answers: "xxaxa", options: refetch.Options[string, string]{Refresh: time.Minute}, for_: 70 * time.Second,
			asked: []time.Duration{0, 1 * time.Second, 3 * time.Second, 63 * time.Second, 64 * time.Second}, value: "a",
		},
		"OldStays": {
			answers: "ax", options: refetch.Options[string, string]{Refresh: time.Hour, Longest: time.Hour, Retry: time.Hour}, for_: 90 * time.Minute,
			asked: []time.Duration{0, time.Hour}, value: "a", failure: "it is away",
		},
		"OldEnds": {
			answers: "ax", options: refetch.Options[string, string]{Refresh: time.Hour, Longest: time.Hour, Retry: time.Hour, MaxAge: 2 * time.Hour}, for_: 200 * time.Minute,
			asked: []time.Duration{0, time.Hour, 2 * time.Hour, 3 * time.Hour}, failure: "it is away",
		},
		"ShortenedByATenth": {
			answers: "xaa", options: refetch.Options[string, string]{Retry: 10 * time.Second, Refresh: 100 * time.Second, Random: func(n int64) int64 { return n - 1 }}, for_: 100 * time.Second,
			asked: []time.Duration{0, 9 * time.Second, 99 * time.Second}, value: "a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{answer: failing(test.answers)}
			run(t, s, test.options, func(t *testing.T, l *refetch.Loop[string, string]) {
				l.Want([]string{"k"})
				pass(test.for_)
				if diff := cmp.Diff(test.asked, s.asked["k"]); diff != "" {
					t.Errorf("asked at (-want +got):\n%s", diff)
				}
				r := l.Result()
				if r.Values["k"] != test.value || r.Failures["k"] != test.failure {
					t.Errorf("%q, %q; want %q, %q", r.Values["k"], r.Failures["k"], test.value, test.failure)
				}
			})
		})
	}
}

// TestParallel: no more are asked at once than is said, and all are.
func TestParallel(t *testing.T) {
	s := &server{answer: failing("a"), takes: time.Second}
	run(t, s, refetch.Options[string, string]{Parallel: 3}, func(t *testing.T, l *refetch.Loop[string, string]) {
		var all []string
		for i := range 8 {
			all = append(all, fmt.Sprint(i))
		}
		l.Want(all)
		pass(2500 * time.Millisecond)
		if l.Settled(all) || s.most != 3 || len(l.Result().Values) != 6 {
			t.Errorf("%d at once, %d fetched", s.most, len(l.Result().Values))
		}
		pass(time.Second)
		if !l.Settled(all) || s.most != 3 {
			t.Errorf("%d at once, %d fetched", s.most, len(l.Result().Values))
		}
	})
}

// TestWant: what is new is fetched at once, what is wanted still is not fetched
// again, and what isn't wanted is forgotten, also when it is on its way.
func TestWant(t *testing.T) {
	s := &server{answer: func(key string, _ int) (string, error) { return "v" + key, nil }, takes: time.Second}
	var changes int
	run(t, s, refetch.Options[string, string]{Parallel: 8, Changed: func() { changes++ }}, func(t *testing.T, l *refetch.Loop[string, string]) {
		l.Want([]string{"a", "b", "a"})
		pass(10 * time.Second)
		before := l.Result()
		l.Want([]string{"b", "a"})
		if changes != 2 {
			t.Errorf("%d changes; want one for each value, and none for the same wishes again", changes)
		}
		l.Want([]string{"b", "c", "d"})
		if l.Settled([]string{"b", "c"}) || !l.Settled([]string{"b"}) {
			t.Error("settled")
		}
		pass(500 * time.Millisecond)
		l.Want([]string{"b", "c"})
		pass(10 * time.Second)
		got := l.Result()
		if diff := cmp.Diff(refetch.Result[string, string]{Values: map[string]string{"b": "vb", "c": "vc"}}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]string{"a": "va", "b": "vb"}, before.Values); diff != "" {
			t.Errorf("a result changed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string][]time.Duration{"a": {0}, "b": {0}, "c": {10 * time.Second}, "d": {10 * time.Second}}, s.asked); diff != "" {
			t.Errorf("asked at (-want +got):\n%s", diff)
		}
	})
}

// TestStandIn: until a new key is fetched, it is what was fetched last for
// another one of its source; and the same content is held once.
func TestStandIn(t *testing.T) {
	s := &server{takes: time.Second, answer: func(key string, _ int) (string, error) {
		if key == "p@3" {
			return "", errAway
		}
		return strings.ToUpper(key), nil
	}}
	source := func(k string) string { before, _, _ := strings.Cut(k, "@"); return before }
	same := func(a, b string) bool { return a[0] == b[0] }
	run(t, s, refetch.Options[string, string]{Source: source}, func(t *testing.T, l *refetch.Loop[string, string]) {
		l.Want([]string{"p@1"})
		pass(time.Minute)
		l.Want([]string{"p@1", "p@2"})
		pass(time.Minute)
		l.Want([]string{"p@1", "p@2", "p@3", "q@1"})
		synctest.Wait()
		if r := l.Result(); r.Values["p@3"] != "P@2" || r.Values["q@1"] != "" {
			t.Errorf("%v", r.Values)
		}
		pass(90 * time.Second)
		if r := l.Result(); r.Values["p@3"] != "P@2" || r.Failures["p@3"] != "it is away" || r.Values["q@1"] != "Q@1" {
			t.Errorf("%v", r)
		}
	})
	run(t, s, refetch.Options[string, string]{Same: same}, func(t *testing.T, l *refetch.Loop[string, string]) {
		l.Want([]string{"p@1"})
		pass(time.Minute)
		l.Want([]string{"p@1", "p@2", "q@1"})
		pass(time.Minute)
		if r := l.Result(); r.Values["p@2"] != "P@1" || r.Values["q@1"] != "Q@1" {
			t.Errorf("%v", r.Values)
		}
	})
}
