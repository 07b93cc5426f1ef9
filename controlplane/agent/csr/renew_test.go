// SPDX-License-Identifier: Apache-2.0

package csr

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	clocktesting "k8s.io/utils/clock/testing"
)

// authority answers requests one after the other, as the test says.
type authority struct {
	answers  []error
	life     time.Duration
	clock    *clocktesting.FakeClock
	roots    func() []byte
	requests int
}

func (a *authority) Request(context.Context) (*Leaf, error) {
	a.requests++
	if len(a.answers) > 0 {
		err := a.answers[0]
		a.answers = a.answers[1:]
		if err != nil {
			return nil, err
		}
	}
	now := a.clock.Now()
	return &Leaf{Serial: fmt.Sprint(a.requests), NotBefore: now, NotAfter: now.Add(a.life)}, nil
}

func (a *authority) Roots() ([]byte, error) { return a.roots(), nil }

// drive runs a renewer, moving the clock from one waiting to the next, until
// so many leaves are published; it returns when each was, and the log.
func drive(t *testing.T, a *authority, leaves int, random float64) (at []time.Duration, lines []string) {
	t.Helper()
	began := a.clock.Now()
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	ctx, cancel := context.WithTimeout(logr.NewContext(t.Context(), log), time.Minute)
	defer cancel()
	r := &Renewer{Authority: a, Clock: a.clock, Random: func() float64 { return random }, Publish: func(*Leaf) {
		at = append(at, a.clock.Since(began))
		if len(at) == leaves {
			cancel()
		}
	}}
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	for {
		select {
		case <-done:
			if len(at) < leaves {
				t.Fatalf("published %d of %d", len(at), leaves)
			}
			return at, lines
		default:
			if a.clock.HasWaiters() {
				a.clock.Step(100 * time.Millisecond)
			}
			runtime.Gosched() // with one processor it is the renewer's turn
		}
	}
}

func TestRenewerRenewsAtHalfLife(t *testing.T) {
	for name, c := range map[string]struct {
		random    float64
		low, high time.Duration
	}{
		"Earliest": {0, 23 * time.Minute, 25 * time.Minute},
		"Middle":   {0.5, 29 * time.Minute, 31 * time.Minute},
		"Latest":   {0.999, 35 * time.Minute, 37 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			a := &authority{life: time.Hour, clock: clocktesting.NewFakeClock(time.Unix(1e9, 0)), roots: func() []byte { return nil }}
			at, _ := drive(t, a, 2, c.random)
			if at[0] != 0 || at[1] < c.low || at[1] > c.high {
				t.Errorf("published at %v, want between %v and %v", at, c.low, c.high)
			}
		})
	}
}

func TestRenewerRetries(t *testing.T) {
	down := errors.New("down")
	a := &authority{
		life: time.Hour, clock: clocktesting.NewFakeClock(time.Unix(1e9, 0)), roots: func() []byte { return nil },
		answers: []error{down, down, down, down, down, down, down, errors.New("refused")},
	}
	at, lines := drive(t, a, 1, 1)
	// 0.5, 1, 2, 4, 8, 16, 30, 30 s.
	if want := 91500 * time.Millisecond; at[0] < want || at[0] > want+time.Second {
		t.Errorf("published at %v, want %v", at[0], want)
	}
	if len(lines) != 3 {
		t.Errorf("each change is to be logged once, and the success; got:\n%q", lines)
	}
}

func TestRenewerSeesMountedRoots(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	began, root := clock.Now(), selfSigned(t)
	a := &authority{life: time.Hour, clock: clock, roots: func() []byte {
		if clock.Since(began) < time.Minute {
			return nil
		}
		return root
	}}
	at, _ := drive(t, a, 2, 0.5)
	if at[1] < time.Minute || at[1] > 75*time.Second {
		t.Errorf("new roots published at %v", at[1])
	}
	if a.requests != 1 {
		t.Errorf("%d requests for new roots", a.requests)
	}
}
