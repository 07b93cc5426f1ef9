// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// quick is how many unanswered bytes may be under way while sending is sure not
// to block: gRPC takes a message whenever less than 64 KiB wait to be written.
const quick = 32 << 10

// stream carries out what its session says. One goroutine receives; gRPC's waits
// for the end. Whoever has news sends, if that cannot block; if it can, a third
// goroutine does, until nothing is left to send. So receiving never waits for
// sending, and a stream can be ended whatever its client does.
type stream struct {
	server  *Server
	grpc    grpc.ServerStream
	caller  *authn.Caller
	opened  time.Time
	expires time.Time // zero: never

	mu      sync.Mutex
	session session
	node    *node // nil until the first request
	proxy   *model.Proxy
	epoch   *epoch
	machine machine
	// pushed is when the snapshot came that is being sent; zero when all was sent.
	pushed time.Time
	// sending while somebody sends; since is when the current message was begun.
	sending bool
	since   time.Time
	// ended is closed when there is a cause for it.
	ended chan struct{}
	cause error
}

// serve until the stream ends; returns why, nil when its client ended it.
func (st *stream) serve() error {
	go st.listen()
	<-st.ended
	st.mu.Lock()
	defer st.mu.Unlock()
	st.machine.left()
	if st.node != nil {
		st.server.metrics.disconnect(st.node.metadata.version)
	}
	if errors.Is(st.cause, io.EOF) {
		return nil
	}
	return st.cause
}

// listen to the client until the stream ends.
func (st *stream) listen() {
	req := request{sotw: st.session.sotw}
	for {
		err := st.grpc.RecvMsg(&req)
		if err == nil {
			err = st.receive(&req)
		}
		if err != nil {
			st.end(err)
			return
		}
		st.flush()
	}
}

func (st *stream) receive(r *request) error {
	if r.invalid != nil {
		return status.Errorf(codes.InvalidArgument, "request: %v", r.invalid)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.cause != nil {
		return st.cause
	}
	if st.node == nil {
		if err := st.introduce(r); err != nil {
			return err
		}
	}
	if r.typeURL == healthType {
		st.machine.reports(r)
		return nil
	}
	k, served := kindOf(r.typeURL)
	if !served {
		// Istio's agents also ask for types that only they and istiod know; not
		// answering is how a server says that it has none.
		return nil
	}
	if k == clusters || k == listeners {
		st.machine.configured()
	}
	v, err := st.session.handle(k, r, time.Now())
	switch v {
	case refused:
		st.server.metrics.rejects[k].Inc()
		st.server.options.Log.Info("proxy rejected a response", "proxy", st.node.id, "type", labels[k], "reason", clipReason(r.reason))
		if told := st.server.options.Rejected; told != nil {
			told()
		}
	case stale:
		st.server.metrics.expired[k].Inc()
	}
	return err
}

// introduce the proxy by the node of its first request.
func (st *stream) introduce(r *request) error {
	if r.node == nil {
		return status.Error(codes.InvalidArgument, "first request has no node")
	}
	n, err := decodeNode(r.node, st.server.limits.Metadata)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if err := admit(n, st.caller); err != nil {
		return err
	}
	if err := st.machine.introduce(n, st.caller, st.server.options.Machines); err != nil {
		return err
	}
	if e := st.server.current.Load(); e != nil {
		// Refuse before anything is answered; later pushes look again.
		if err := admitWorkload(e.snapshot.Workload(n.namespace, n.name), st.caller); err != nil {
			return err
		}
	}
	st.node = n
	st.server.metrics.connect(n.metadata.version)
	return nil
}

// end the stream.
func (st *stream) end(cause error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.endLocked(cause)
}

func (st *stream) endLocked(cause error) {
	if st.cause == nil {
		st.cause = cause
		close(st.ended)
	}
}

// check what time has brought: see Limits.
func (st *stream) check(now time.Time) {
	st.mu.Lock()
	limits := st.server.limits
	switch {
	case !st.expires.IsZero() && now.After(st.expires):
		st.endLocked(status.Error(codes.Unauthenticated, "credential expired: connect with a new one"))
	case st.node == nil && now.Sub(st.opened) > limits.Send:
		st.endLocked(status.Error(codes.DeadlineExceeded, "no request with a node came"))
	case st.sending && now.Sub(st.since) > limits.Send:
		st.endLocked(status.Errorf(codes.DeadlineExceeded, "client took nothing for %s", limits.Send))
	}
	waiting := st.session.unanswered > 0 || now.Before(st.session.settled.Add(2*time.Second))
	st.mu.Unlock()
	if waiting {
		st.flush() // what was waited for in vain holds nothing back any more
	}
}

func (st *stream) id() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == nil {
		return ""
	}
	return st.node.id
}
