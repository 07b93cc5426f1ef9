// SPDX-License-Identifier: Apache-2.0

package member

import "time"

// backoff doubles the time between attempts up to max. Half of it is left to
// chance, so that a hub that comes back is not called by all members at once.
type backoff struct {
	min, max time.Duration
	random   func() float64
	last     time.Duration
}

// next is how long to wait before the next attempt.
func (b *backoff) next() time.Duration {
	b.last = min(max(b.last*2, b.min), b.max)
	return b.last/2 + time.Duration(b.random()*float64(b.last/2))
}

// reset after an attempt that went well.
func (b *backoff) reset() { b.last = 0 }
