// SPDX-License-Identifier: Apache-2.0

// Package drain ends a proxy without cutting anybody off. It has three steps:
// Begin, when the pod's termination starts (the preStop hook, before the
// application is told); Refuse, when the control plane says that others are
// there for the callers; and Finish, when the application has gone and the proxy
// itself is told to stop.
package drain

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// Proxy is what is drained; admin.Client is one.
type Proxy interface {
	Drain(ctx context.Context, inbound bool) error
	Refuse(ctx context.Context) error
	Connections(ctx context.Context) (uint64, error)
}

// interval between two looks at the connections.
const interval = 50 * time.Millisecond

// Drainer drains one proxy.
type Drainer struct {
	Proxy Proxy
	Clock clock.Clock
	// All begins with all listeners and not only with those for inbound calls:
	// what a gateway forwards has one direction.
	All bool
	// AtLeast is waited in any case: while others still believe that the proxy
	// is there, it must go on taking connections.
	AtLeast time.Duration
	// AtMost is waited for connections to end.
	AtMost time.Duration
}

// Begin makes callers of the pod go elsewhere; calls that the pod itself makes
// go on.
func (d *Drainer) Begin(ctx context.Context) error { return d.Proxy.Drain(ctx, !d.All) }

// Refuse keeps what callers still send from the application. Connections are
// told to end before, so that a call which is repeated goes another way.
func (d *Drainer) Refuse(ctx context.Context) error {
	if err := d.Begin(ctx); err != nil {
		return err
	}
	return d.Proxy.Refuse(ctx)
}

// Finish drains everything and returns when no connection is left, but not
// before AtLeast and not after AtMost.
func (d *Drainer) Finish(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	began := d.Clock.Now()
	if err := d.Proxy.Drain(ctx, false); err != nil {
		log.Error(err, "Envoy was not asked to drain")
		return
	}
	log.Info("Draining", "atLeast", d.AtLeast.String(), "atMost", d.AtMost.String())
	for {
		left, err := d.Proxy.Connections(ctx)
		if err != nil {
			log.Error(err, "Draining ends: Envoy does not answer")
			return
		}
		passed := d.Clock.Since(began)
		switch {
		case passed >= max(d.AtMost, d.AtLeast):
			log.Info("Draining ends at its limit", "connections", left)
			return
		case left == 0 && passed >= d.AtLeast:
			log.Info("Drained", "after", passed.String())
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-d.Clock.After(interval):
		}
	}
}
