// SPDX-License-Identifier: Apache-2.0

package drain_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/isthmesh/isthmesh/controlplane/agent/drain"
)

// proxy has connections until a moment, and breaks at another.
type proxy struct {
	clock       *clocktesting.FakeClock
	began       time.Time
	until, dies time.Duration
	drains      []bool
	refused     []int // how often it was drained before
}

func (p *proxy) Drain(_ context.Context, inbound bool) error {
	p.drains = append(p.drains, inbound)
	return nil
}

func (p *proxy) Refuse(context.Context) error {
	p.refused = append(p.refused, len(p.drains))
	return nil
}

func (p *proxy) Connections(context.Context) (uint64, error) {
	passed := p.clock.Since(p.began)
	if p.dies > 0 && passed >= p.dies {
		return 0, errors.New("gone")
	}
	if passed < p.until {
		return 1, nil
	}
	return 0, nil
}

func TestFinish(t *testing.T) {
	cases := map[string]struct {
		until, dies, atLeast, atMost, want time.Duration
	}{
		"Idle":              {0, 0, 0, 5 * time.Second, 0},
		"ConnectionsEnd":    {2 * time.Second, 0, 0, 5 * time.Second, 2 * time.Second},
		"ConnectionsStay":   {time.Hour, 0, 0, 5 * time.Second, 5 * time.Second},
		"IdleGateway":       {0, 0, 5 * time.Second, 30 * time.Second, 5 * time.Second},
		"LeastOverMost":     {0, 0, 8 * time.Second, 5 * time.Second, 8 * time.Second},
		"EnvoyEndsOnItsOwn": {time.Hour, time.Second, 0, time.Minute, time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
			p := &proxy{clock: clock, began: clock.Now(), until: c.until, dies: c.dies}
			d := &drain.Drainer{Proxy: p, Clock: clock, AtLeast: c.atLeast, AtMost: c.atMost}
			done := make(chan struct{})
			go func() { defer close(done); d.Finish(t.Context()) }()
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
					if clock.HasWaiters() {
						clock.Step(100 * time.Millisecond)
					}
					runtime.Gosched() // with one processor it is the drainer's turn
				}
			}
			if passed := clock.Since(p.began); passed < c.want || passed > c.want+400*time.Millisecond {
				t.Errorf("took %v, want %v", passed, c.want)
			}
			if len(p.drains) != 1 || p.drains[0] {
				t.Errorf("drained %v, want all listeners once", p.drains)
			}
		})
	}
}

func TestBegin(t *testing.T) {
	for name, all := range map[string]bool{"Sidecar": false, "Gateway": true} {
		t.Run(name, func(t *testing.T) {
			p := &proxy{}
			if err := (&drain.Drainer{Proxy: p, All: all}).Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p.drains[0] == all {
				t.Errorf("inbound only: %v", p.drains[0])
			}
		})
	}
}

// TestRefuse: connections are told to end before anything is refused.
func TestRefuse(t *testing.T) {
	p := &proxy{}
	if err := (&drain.Drainer{Proxy: p}).Refuse(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(p.drains) != 1 || !p.drains[0] || len(p.refused) != 1 || p.refused[0] != 1 {
		t.Errorf("drained %v, refused after %v drains, want inbound listeners drained once, then refused", p.drains, p.refused)
	}
}
