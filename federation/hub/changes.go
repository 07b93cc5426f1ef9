// SPDX-License-Identifier: Apache-2.0

package hub

import "sync"

// changes hands Refs to a reader. One that the reader has not taken yet is not
// put in twice, so the queue is never longer than there are members, and who
// puts never waits.
type changes struct {
	mu      sync.Mutex
	waiting map[Ref]bool
	order   []Ref
	wake    chan struct{}
	out     chan Ref
	done    chan struct{}
	end     sync.Once
}

func newChanges() *changes {
	c := &changes{
		waiting: map[Ref]bool{},
		wake:    make(chan struct{}, 1),
		out:     make(chan Ref),
		done:    make(chan struct{}),
	}
	go c.pump()
	return c
}

func (c *changes) put(r Ref) {
	c.mu.Lock()
	if !c.waiting[r] {
		c.waiting[r] = true
		c.order = append(c.order, r)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) first() (Ref, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.order) == 0 {
		return Ref{}, false
	}
	return c.order[0], true
}

// taken lets r be put in again, from before its reader looks.
func (c *changes) taken(r Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order = c.order[1:]
	delete(c.waiting, r)
}

func (c *changes) pump() {
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}
		for r, ok := c.first(); ok; r, ok = c.first() {
			c.taken(r)
			select {
			case c.out <- r:
			case <-c.done:
				return
			}
		}
	}
}

func (c *changes) close() { c.end.Do(func() { close(c.done) }) }
