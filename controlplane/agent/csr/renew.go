// SPDX-License-Identifier: Apache-2.0

package csr

import (
	"bytes"
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

const (
	requestTimeout = 10 * time.Second
	firstRetry     = 500 * time.Millisecond
	lastRetry      = 30 * time.Second
	// rootInterval is how often the mounted roots are looked at.
	rootInterval = 10 * time.Second
)

// Authority signs and tells the mounted roots; Client is one.
type Authority interface {
	Request(ctx context.Context) (*Leaf, error)
	Roots() ([]byte, error)
}

// Renewer keeps a certificate fresh.
type Renewer struct {
	Authority Authority
	// Publish takes each new leaf. It is called from one goroutine.
	Publish func(*Leaf)
	Clock   clock.Clock
	// Random gives numbers in [0, 1).
	Random func() float64
}

// Run requests, publishes and renews until the context ends. A failure is
// tried again with growing pauses and logged once until it changes; what was
// published stays in use.
func (r *Renewer) Run(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	var current *Leaf
	var mounted []byte
	failures, told := 0, ""
	next := r.Clock.Now()
	for {
		if !r.Clock.Now().Before(next) {
			request, cancel := context.WithTimeout(ctx, requestTimeout)
			leaf, err := r.Authority.Request(request)
			cancel()
			if ctx.Err() != nil {
				return
			}
			now := r.Clock.Now()
			if err != nil {
				next = now.Add(retryAfter(failures, r.Random()))
				failures++
				if err.Error() != told {
					told = err.Error()
					log.Error(err, "No certificate for the workload, trying again")
				}
			} else {
				log.Info("Workload certificate issued", "serial", leaf.Serial, "notAfter", leaf.NotAfter)
				failures, told = 0, ""
				next = renewAt(now, leaf, r.Random())
				current, mounted = leaf, nil
				r.Publish(leaf)
			}
		}
		if roots, err := r.Authority.Roots(); current != nil && err == nil && !bytes.Equal(roots, mounted) {
			changed, err := current.WithRoots(roots)
			switch {
			case err != nil:
				log.Error(err, "Mounted roots changed and cannot be used")
			case !bytes.Equal(changed.Roots, current.Roots):
				log.Info("Mounted roots changed")
				current = changed
				r.Publish(current)
			}
			mounted = roots
		}
		pause := next.Sub(r.Clock.Now())
		if current != nil {
			pause = min(pause, rootInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.Clock.After(pause):
		}
	}
}

// renewAt is half of what is left of a certificate's life, give or take a
// tenth, so that pods which started together don't ask together.
func renewAt(now time.Time, l *Leaf, random float64) time.Time {
	life := l.NotAfter.Sub(now)
	if whole := l.NotAfter.Sub(l.NotBefore); life > whole || life <= 0 {
		// The clocks disagree: the length is all that can be known.
		life = whole
	}
	return now.Add(time.Duration(float64(life) * (0.4 + 0.2*random)))
}

// retryAfter doubles from firstRetry to lastRetry, and takes between half and
// all of that.
func retryAfter(failures int, random float64) time.Duration {
	pause := lastRetry
	if failures < 6 {
		pause = firstRetry << failures
	}
	return time.Duration(float64(pause) * (0.5 + 0.5*random))
}
