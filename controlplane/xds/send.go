// SPDX-License-Identifier: Apache-2.0

package xds

import "time"

// flush sends what the session has to send. It never blocks.
func (st *stream) flush() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.sending {
		return // whoever sends comes to it
	}
	st.sending = true
	for st.cause == nil {
		r := st.next()
		if r == nil {
			break
		}
		if st.session.unanswered-r.size >= quick {
			go st.drain(r)
			return
		}
		st.send(r)
	}
	st.sending = false
}

// drain sends a response and all that follows it, however long that takes.
func (st *stream) drain(r *response) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for r != nil && st.cause == nil {
		st.send(r)
		r = st.next()
	}
	st.sending = false
}

// next response of the session, aimed at the current snapshot, with st.mu held;
// nil when there is none.
func (st *stream) next() *response {
	if !st.aim() {
		return nil
	}
	st.since = time.Now()
	r := st.session.next(st.since)
	if r == nil && st.session.level() {
		st.pushed = time.Time{}
	}
	return r
}

// send with st.mu held, but for the time of sending.
func (st *stream) send(r *response) {
	start := time.Now()
	st.since = start
	st.mu.Unlock()
	err := st.grpc.SendMsg(&r.frame)
	end := time.Now()
	st.mu.Lock()
	if err != nil {
		st.server.metrics.sendErrors[r.kind].Inc()
		st.endLocked(err)
		return
	}
	st.server.metrics.sent(r, start, end)
	if !st.pushed.IsZero() && st.session.level() {
		st.server.metrics.convergence.Observe(end.Sub(st.pushed).Seconds())
		st.pushed = time.Time{}
	}
}

// aim the session at the current snapshot; false when there is none, or when
// the stream may not see it.
func (st *stream) aim() bool {
	e := st.server.current.Load()
	if e == nil || st.node == nil || st.cause != nil {
		return false
	}
	if e == st.epoch {
		return true
	}
	w := e.snapshot.Workload(st.node.namespace, st.node.name)
	if st.proxy == nil || st.proxy.Workload != w {
		if err := admitWorkload(w, st.caller); err != nil {
			st.endLocked(err)
			return false
		}
		st.proxy = describe(st.node, st.caller.Identity, w)
	}
	if st.epoch != nil {
		st.pushed = e.began
	}
	st.epoch = e
	st.session.aim(e.snapshot.View(st.proxy), e.cache)
	return true
}
