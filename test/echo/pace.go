// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"
	"time"
)

// pace says how many requests are sent, and when.
type pace struct {
	// count is the number of requests; 0 means until the duration is over.
	count int
	// rate is the number of requests per second; 0 means as fast as possible.
	rate float64
	// concurrency is how many requests may be under way at the same time.
	concurrency int
	// duration ends the sending; 0 means no end but the count's.
	duration time.Duration
}

// run sends requests and returns how each ended. With a rate, each request has
// a time at which it is due, whether or not earlier ones have been answered,
// and its latency counts from then: a server that stalls is not spared the
// requests that it held up.
func (p pace) run(ctx context.Context, send func(context.Context) result) []result {
	// The end of the sending does not end the requests that are under way.
	sending := ctx
	if p.duration > 0 {
		var cancel context.CancelFunc
		sending, cancel = context.WithTimeout(ctx, p.duration)
		defer cancel()
	}
	due := make(chan time.Time)
	var mu sync.Mutex
	var results []result
	var workers sync.WaitGroup
	for range p.concurrency {
		workers.Go(func() {
			for at := range due {
				r := send(context.WithoutCancel(ctx))
				r.ended = time.Now()
				r.took = r.ended.Sub(at)
				mu.Lock()
				results = append(results, r)
				mu.Unlock()
			}
		})
	}
	p.schedule(sending, due)
	close(due)
	workers.Wait()
	return results
}

// schedule hands out the times at which requests are due.
func (p pace) schedule(ctx context.Context, due chan<- time.Time) {
	begin := time.Now()
	for i := 0; p.count == 0 || i < p.count; i++ {
		at := time.Now()
		if p.rate > 0 {
			at = begin.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
			timer := time.NewTimer(time.Until(at))
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
		}
		select {
		case <-ctx.Done():
			return
		case due <- at:
		}
	}
}
