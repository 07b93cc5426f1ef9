// SPDX-License-Identifier: Apache-2.0

package workloadentry

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	client "istio.io/client-go/pkg/clientset/versioned/typed/networking/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// StandardGrace is how long a machine may be away, as in Istio.
const StandardGrace = 10 * time.Second

// Sweeper removes the entries of machines that are gone. Only the leader runs it.
type Sweeper struct {
	Client     client.NetworkingV1Interface
	Kubernetes kubernetes.Interface
	// Objects as they were read last.
	Objects func() Objects
	// Changed is readable when Objects may say something else.
	Changed chan struct{}
	// Namespace of the control plane, and this replica's name on entries.
	Namespace, Replica string
	// Grace is how long a machine may be away; StandardGrace by default.
	Grace time.Duration
	// Every is how often replicas tell that they are there; five seconds by default.
	Every   time.Duration
	Metrics *Metrics

	heard pulses
	asked time.Time
}

// Run works until ctx ends; it returns ctx's error.
func (s *Sweeper) Run(ctx context.Context) error {
	for {
		timer := time.NewTimer(s.sweep(ctx))
		select {
		case <-ctx.Done():
		case <-s.Changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// sweep once; it returns for how long there is nothing to do if nothing happens.
func (s *Sweeper) sweep(ctx context.Context) time.Duration {
	every := cmp.Or(s.Every, standardPulse)
	entries, now := s.Objects().Entries, time.Now()
	ours := isOurs(s.Namespace)
	named := map[string]bool{}
	for _, e := range entries {
		if r := e.Annotations[registration.ControllerAnnotation]; r != s.Replica && ours(r) && registration.Registered(e) {
			named[r] = true
		}
	}
	s.listen(ctx, named, now, every)
	alive := func(replica string) bool {
		h, known := s.heard[replica]
		return replica == s.Replica || !known || now.Sub(h.when) < lapse*every
	}
	wait, grace := time.Minute, cmp.Or(s.Grace, StandardGrace)
	if len(named) > 0 {
		wait = every
	}
	for _, e := range entries {
		c, due := registration.Sweep(e, ours, alive, now, grace)
		if !due.IsZero() {
			wait = min(wait, due.Sub(now))
		}
		if c.None() {
			continue
		}
		// What was read last may be old.
		e, err := read(ctx, s.Client, registration.Key{Namespace: e.Namespace, Name: e.Name})
		if err == nil && e == nil {
			continue
		}
		if err == nil {
			if c, _ = registration.Sweep(e, ours, alive, now, grace); c.None() {
				continue
			}
			_, err = write(ctx, s.Client, e, c)
		}
		switch {
		case err == nil:
			s.Metrics.count(c)
		case ctx.Err() != nil:
			return 0
		default:
			// If it was changed there is news soon.
			wait = min(wait, time.Second)
			if !errors.Is(err, errChanged) {
				s.Metrics.errors.Inc()
				logr.FromContextOrDiscard(ctx).WithName("machines").Info("the WorkloadEntry of a machine that is gone isn't removed, it is tried again",
					"namespace", e.Namespace, "name", e.Name, "cause", err.Error())
			}
		}
	}
	return max(wait, time.Millisecond)
}

// listen to the other replicas, now and then. While they can't be heard, nobody is
// taken for gone.
func (s *Sweeper) listen(ctx context.Context, named map[string]bool, now time.Time, every time.Duration) {
	if len(named) == 0 {
		s.heard = nil
		return
	}
	unknown := false
	for r := range named {
		_, known := s.heard[r]
		unknown = unknown || !known
	}
	if !unknown && now.Sub(s.asked) < every {
		return
	}
	s.asked = now
	heard, err := s.heard.heard(ctx, s.Kubernetes, s.Namespace, named, now)
	if err != nil {
		if ctx.Err() == nil {
			logr.FromContextOrDiscard(ctx).WithName("machines").Info("other replicas aren't heard, so no machine of theirs is taken for gone", "cause", err.Error())
		}
		s.heard = nil
		return
	}
	s.heard = heard
}
