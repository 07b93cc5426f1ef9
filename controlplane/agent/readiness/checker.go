// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

// State of an application.
type State struct {
	// Ready for calls; otherwise Message says why not.
	Ready   bool
	Message string
}

// Checker probes an application and tells each change.
type Checker struct {
	Probe *Probe
	// Proxy is nil while the proxy can take calls. Until it could for the first
	// time, the application isn't asked, and nothing is told.
	Proxy func(context.Context) error
	// Tell takes the first state and each that differs from the one before. It
	// must not block.
	Tell func(State)
	// Stopping is closed when callers are to leave: then the application counts as
	// unready, and isn't asked any more.
	Stopping <-chan struct{}
}

const (
	// proxyPeriod is how often a proxy that hasn't started is asked for.
	proxyPeriod = time.Second
	// maxMessage bytes are told.
	maxMessage = 1024
)

// Run probes until the context ends, or Stopping.
func (c *Checker) Run(ctx context.Context) {
	probing, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-c.Stopping:
			stop()
		case <-probing.Done():
		}
	}()
	last := c.probe(probing, logr.FromContextOrDiscard(ctx))
	if ctx.Err() == nil && last != nil && last.Ready {
		c.Tell(State{Message: "the proxy is stopping"})
	}
}

// probe until the context ends. What was told last is returned; nil if nothing was.
func (c *Checker) probe(ctx context.Context, log logr.Logger) *State {
	if !pause(ctx, c.Probe.Delay) {
		return nil
	}
	for c.Proxy(ctx) != nil {
		if !pause(ctx, proxyPeriod) {
			return nil
		}
	}
	ticker := time.NewTicker(c.Probe.Period)
	defer ticker.Stop()
	var last *State
	successes, failures := 0, 0
	for {
		err := c.ask(ctx)
		if ctx.Err() != nil {
			return last
		}
		var next *State
		if err == nil {
			successes, failures = min(successes+1, c.Probe.Successes), 0
			if successes == c.Probe.Successes && (last == nil || !last.Ready) {
				next = &State{Ready: true}
				log.Info("The application is ready")
			}
		} else {
			successes, failures = 0, min(failures+1, c.Probe.Failures)
			if failures == c.Probe.Failures && (last == nil || last.Ready) {
				next = &State{Message: message(err)}
				log.Info("The application is not ready", "cause", next.Message)
			}
		}
		if next != nil {
			last = next
			c.Tell(*next)
		}
		select {
		case <-ctx.Done():
			return last
		case <-ticker.C:
		}
	}
}

// ask the proxy and the application once.
func (c *Checker) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Probe.Timeout, fmt.Errorf("no answer within %v", c.Probe.Timeout))
	defer cancel()
	if err := c.Proxy(ctx); err != nil {
		return fmt.Errorf("the proxy: %w", err)
	}
	err := c.Probe.Ask(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// message of an error, as it can be told.
func message(err error) string {
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxMessage)], "")
}

// pause is false if the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
