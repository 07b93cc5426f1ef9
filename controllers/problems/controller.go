// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
)

// Controller writes conditions. One replica runs it at a time.
type Controller struct {
	Client dynamic.Interface
	// Facts are the newest; without a mesh nothing is written.
	Facts func() Facts
	// Changed tells that they may have changed.
	Changed <-chan struct{}
	// PerSecond is how many objects are looked at in a second at most, and so
	// written at most; ten by default.
	PerSecond int
	// Calm is how long an object must have been fine before it is told so, when it
	// wasn't changed itself, and how often it is told of the rest of the mesh at
	// most; ten seconds by default.
	Calm time.Duration
	// Pause is the least time between two rounds; a second by default.
	Pause time.Duration
	// Poll is when the facts are asked for without a change: what proxies reject
	// comes later than the mesh; five seconds by default.
	Poll time.Duration
	// Resync is when every object that was ever told of is looked at again, for
	// what others wrote; ten minutes by default.
	Resync time.Duration

	limiter *rate.Limiter
	memory  map[Object]*entry
	last    string
}

// batch is how many objects are looked at before the facts are asked for again.
const batch = 50

// Run works until ctx ends; it returns ctx's error.
func (c *Controller) Run(ctx context.Context) error {
	perSecond := c.PerSecond
	if perSecond <= 0 {
		perSecond = 10
	}
	c.limiter = rate.NewLimiter(rate.Limit(perSecond), perSecond)
	c.memory = map[Object]*entry{}
	unread := slices.Sorted(maps.Keys(kinds))
	var tried time.Time
	resynced := time.Now()
	for {
		if len(unread) > 0 && time.Since(tried) > 30*time.Second {
			tried = time.Now()
			var failed error
			unread = slices.DeleteFunc(unread, func(kind string) bool {
				err := adopt(ctx, c.Client, kind, c.memory, tried)
				failed = errors.Join(failed, err)
				return err == nil
			})
			c.report(ctx, failed)
		}
		if time.Since(resynced) > cmp.Or(c.Resync, 10*time.Minute) {
			resynced = time.Now()
			for _, e := range c.memory {
				e.sure = false
			}
		}
		next, err := c.round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.report(ctx, err)
		if err := c.wait(ctx, next); err != nil {
			return err
		}
	}
}

// report what failed, once as long as it stays the same.
func (c *Controller) report(ctx context.Context, err error) {
	if err == nil {
		return
	}
	if text := err.Error(); text != c.last {
		c.last = text
		logr.FromContextOrDiscard(ctx).WithName("problems").Info("not all conditions are written, it is tried again", "cause", text)
	}
}

// round looks at what is due, and tells when there is more to do.
func (c *Controller) round(ctx context.Context) (next time.Time, err error) {
	due, next := plan(c.Facts(), c.memory, time.Now(), cmp.Or(c.Calm, 10*time.Second))
	if len(due) > batch {
		due, next = due[:batch], time.Now()
	}
	var failed []error
	for _, t := range due {
		if err := c.limiter.Wait(ctx); err != nil {
			return next, err
		}
		if err := c.look(ctx, t); err != nil {
			failed = append(failed, err)
		}
	}
	return next, errors.Join(failed...)
}

// look at one object.
func (c *Controller) look(ctx context.Context, t task) error {
	now := time.Now()
	outcome, err := write(ctx, c.Client, t, now)
	e := c.memory[t.of]
	switch {
	case apierrors.IsConflict(err): // somebody else was faster
		e.notBefore = now.Add(time.Second)
		return nil
	case err != nil:
		// Whether it was written nobody knows.
		e.last, e.sure, e.at, e.notBefore = t.want, false, now, now.Add(30*time.Second)
		return err
	}
	switch outcome {
	case untouched:
		delete(c.memory, t.of)
	case elsewhere:
		e.notBefore = now.Add(2 * time.Second)
	case written:
		e.last, e.sure, e.at = t.want, true, now
	case settled:
		e.last, e.sure = t.want, true
	}
	return nil
}

// wait for the pause, then for a change, or until something is due.
func (c *Controller) wait(ctx context.Context, next time.Time) error {
	timer := time.NewTimer(cmp.Or(c.Pause, time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	until := cmp.Or(c.Poll, 5*time.Second)
	if !next.IsZero() {
		until = min(until, max(0, time.Until(next)))
	}
	timer.Reset(until)
	select {
	case <-c.Changed:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
