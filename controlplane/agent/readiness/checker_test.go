// SPDX-License-Identifier: Apache-2.0

package readiness_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/agent/readiness"
)

// told is a state and when it came, in seconds after the start.
type told struct {
	At    int
	State string
}

// watch runs a checker for some seconds of a clock that isn't the real one. The
// application is asked with the number of the question, from 0 on.
func watch(t *testing.T, seconds int, p readiness.Probe, ask func(ctx context.Context, n int) error, change func(c *readiness.Checker, start time.Time, stop func())) []told {
	t.Helper()
	var out []told
	synctest.Test(t, func(t *testing.T) {
		start, n := time.Now(), 0
		p.Ask = func(ctx context.Context) error { n++; return ask(ctx, n-1) }
		stopping := make(chan struct{})
		c := &readiness.Checker{
			Probe: &p, Proxy: func(context.Context) error { return nil }, Stopping: stopping,
			Tell: func(s readiness.State) {
				text := "ready"
				if !s.Ready {
					text = "unready: " + s.Message
				}
				out = append(out, told{int(time.Since(start) / time.Second), text})
			},
		}
		if change != nil {
			change(c, start, func() { close(stopping) })
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second+time.Second/2)
		defer cancel()
		c.Run(ctx)
	})
	return out
}

func TestChecker(t *testing.T) {
	probe := func(change func(*readiness.Probe)) readiness.Probe {
		p := readiness.Probe{Timeout: time.Second, Period: 10 * time.Second, Successes: 1, Failures: 1}
		if change != nil {
			change(&p)
		}
		return p
	}
	// series answers as its letters say: + is well, - isn't; the last one stays.
	series := func(s string) func(context.Context, int) error {
		return func(_ context.Context, n int) error {
			if s[min(n, len(s)-1)] == '+' {
				return nil
			}
			return errors.New("no")
		}
	}
	until := func(from, to int) func(c *readiness.Checker, start time.Time, stop func()) {
		return func(c *readiness.Checker, start time.Time, _ func()) {
			c.Proxy = func(context.Context) error {
				if s := int(time.Since(start) / time.Second); s >= from && s < to {
					return errors.New("not started")
				}
				return nil
			}
		}
	}
	cases := map[string]struct {
		probe   readiness.Probe
		ask     func(context.Context, int) error
		change  func(c *readiness.Checker, start time.Time, stop func())
		seconds int
		want    []told
	}{
		"FirstReadyIsTold":   {probe(nil), series("+"), nil, 30, []told{{0, "ready"}}},
		"FirstUnreadyIsTold": {probe(nil), series("-"), nil, 30, []told{{0, "unready: no"}}},
		"EachChangeOnce":     {probe(nil), series("+--++-"), nil, 60, []told{{0, "ready"}, {10, "unready: no"}, {30, "ready"}, {50, "unready: no"}}},
		"Delay":              {probe(func(p *readiness.Probe) { p.Delay = 7 * time.Second }), series("+"), nil, 30, []told{{7, "ready"}}},
		"Period":             {probe(func(p *readiness.Probe) { p.Period = 3 * time.Second }), series("+-"), nil, 10, []told{{0, "ready"}, {3, "unready: no"}}},
		"FailuresInARow":     {probe(func(p *readiness.Probe) { p.Failures = 3 }), series("+--+--+---+"), nil, 200, []told{{0, "ready"}, {90, "unready: no"}, {100, "ready"}}},
		"SuccessesInARow":    {probe(func(p *readiness.Probe) { p.Successes = 3 }), series("++-++-+++-+++"), nil, 200, []told{{20, "unready: no"}, {80, "ready"}, {90, "unready: no"}, {120, "ready"}}},
		"BothThresholds": {
			probe(func(p *readiness.Probe) { p.Successes, p.Failures = 2, 2 }), series("+-+-++-+--++"), nil, 200,
			[]told{{50, "ready"}, {90, "unready: no"}, {110, "ready"}},
		},
		// Successes beyond the threshold are no credit.
		"LongReady": {probe(func(p *readiness.Probe) { p.Failures = 2 }), series("+++++++--"), nil, 200, []told{{0, "ready"}, {80, "unready: no"}}},
		"Timeout": {
			probe(func(p *readiness.Probe) { p.Timeout = 4 * time.Second }),
			func(ctx context.Context, n int) error {
				if n == 0 {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}, nil, 60,
			[]told{{0, "ready"}, {14, "unready: no answer within 4s: context deadline exceeded"}},
		},
		"LongerThanThePeriod": {
			probe(func(p *readiness.Probe) { p.Timeout, p.Period = 25*time.Second, 10*time.Second }),
			func(ctx context.Context, n int) error {
				if n > 0 {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}, nil, 60,
			[]told{{25, "unready: no answer within 25s: context deadline exceeded"}, {25, "ready"}},
		},
		// What failed while the proxy had not started yet is nothing.
		"NotBeforeTheProxy":  {probe(nil), series("+"), until(0, 12), 60, []told{{12, "ready"}}},
		"DelayAndProxy":      {probe(func(p *readiness.Probe) { p.Delay = 20 * time.Second }), series("+"), until(0, 12), 60, []told{{20, "ready"}}},
		"NeverWithoutProxy":  {probe(nil), series("+"), until(0, 1000), 60, nil},
		"ProxyIsGone":        {probe(nil), series("+"), until(15, 35), 60, []told{{0, "ready"}, {20, "unready: the proxy: not started"}, {40, "ready"}}},
		"StoppingWhileReady": {probe(nil), series("+"), stopAfter(12), 60, []told{{0, "ready"}, {12, "unready: the proxy is stopping"}}},
		"StoppingWhileNot":   {probe(nil), series("-"), stopAfter(12), 60, []told{{0, "unready: no"}}},
		"StoppingInTheDelay": {probe(func(p *readiness.Probe) { p.Delay = 20 * time.Second }), series("+"), stopAfter(12), 60, nil},
		"StoppingInAProbe": {
			probe(func(p *readiness.Probe) { p.Timeout = 50 * time.Second }),
			func(ctx context.Context, n int) error {
				if n > 0 {
					<-ctx.Done()
				}
				return ctx.Err()
			}, stopAfter(15), 60,
			[]told{{0, "ready"}, {15, "unready: the proxy is stopping"}},
		},
		"LongMessage": {probe(nil), func(context.Context, int) error { return errors.New(strings.Repeat("ü", 1000)) }, nil, 1, []told{{0, "unready: " + strings.Repeat("ü", 512)}}},
		"CutInALetter": {
			probe(nil), func(context.Context, int) error { return errors.New("x" + strings.Repeat("ü", 1000)) }, nil, 1,
			[]told{{0, "unready: x" + strings.Repeat("ü", 511)}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, watch(t, c.seconds, c.probe, c.ask, c.change)); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

func stopAfter(seconds int) func(c *readiness.Checker, start time.Time, stop func()) {
	return func(_ *readiness.Checker, _ time.Time, stop func()) {
		time.AfterFunc(time.Duration(seconds)*time.Second, stop)
	}
}
