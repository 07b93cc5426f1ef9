// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// A member that sends faster than this has to wait, not the others: reading
// its stream pauses, and its own flow control holds it back. A message counts
// once, and once more for each paceBytes.
const (
	pacePerSecond = 500
	paceBurst     = 5000
	paceBytes     = 4 << 10
)

// serverStream is the edge of one stream. Its receiver and its sender run side
// by side and never wait for each other: were they one loop, two ends that
// both send without reading would block each other for good.
type serverStream struct {
	id     StreamID
	grpc   federationv1.Federation_SyncServer
	wake   chan struct{}
	ended  chan error
	answer *time.Timer // runs while updates are unanswered
	answered,
	unanswered uint64
}

func (st *serverStream) wakeUp() {
	if st == nil {
		return
	}
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// end makes Sync return; the first reason counts.
func (st *serverStream) end(why error) {
	if st == nil {
		return
	}
	select {
	case st.ended <- why:
	default:
	}
}

// Sync implements federationv1.FederationServer.
func (s *Server) Sync(g federationv1.Federation_SyncServer) error {
	f, who, err := s.caller(g.Context())
	if err != nil {
		return err
	}
	hello, err := readHello(g)
	if err != nil {
		return err
	}
	st := &serverStream{id: StreamID(s.streamID.Add(1)), grpc: g, wake: make(chan struct{}, 1), ended: make(chan error, 1)}
	st.answer = time.AfterFunc(time.Hour, func() {
		st.end(status.Errorf(codes.DeadlineExceeded, "updates were not acknowledged for %s", s.options.SendTimeout))
	})
	st.answer.Stop()
	defer st.answer.Stop()
	// A stream does not outlive the certificate that opened it.
	expiry := time.AfterFunc(who.NotAfter.Sub(s.options.Now()), func() {
		st.end(status.Error(codes.Unauthenticated, "the certificate of this connection has expired: connect again"))
	})
	defer expiry.Stop()
	log := s.options.Log.WithValues("member", Ref{f.name, who.Name}, "instance", clip(hello.GetInstance(), 63), "stream", st.id)

	f.mu.Lock()
	f.streams[st.id] = st
	s.do(f, Joined{Stream: st.id, Member: who.Name, Serial: who.Serial, Hello: hello})
	f.mu.Unlock()
	// The controllers may have changed what counts while the stream was set up.
	if _, now, err := s.caller(g.Context()); err != nil {
		st.end(err)
	} else if now.Name != who.Name {
		st.end(status.Error(codes.Unauthenticated, string(CloseCertificate)))
	}
	log.Info("A member connected", "version", clip(hello.GetVersion(), 63), "serial", who.Serial)

	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	go s.receive(ctx, f, st)
	go s.sendLoop(ctx, f, st)
	select {
	case err = <-st.ended:
	case <-ctx.Done():
		err = status.FromContextError(ctx.Err()).Err()
	}

	reason := lost(err)
	f.mu.Lock()
	delete(f.streams, st.id)
	s.do(f, Left{Stream: st.id, Reason: reason})
	f.mu.Unlock()
	log.Info("A member disconnected", "reason", reason)
	return err
}

// lost says in Status why a stream ended.
func lost(err error) string {
	switch status.Code(err) {
	case codes.OK:
		return "the member closed the stream"
	case codes.Canceled, codes.Unavailable:
		return "the connection was lost: " + status.Convert(err).Message()
	}
	return status.Convert(err).Message()
}

// readHello reads the first message, which a member that holds much sends in parts.
func readHello(g federationv1.Federation_SyncServer) (*federationv1.Hello, error) {
	var out *federationv1.Hello
	for range wire.MaxHellos {
		m, err := g.Recv()
		if err != nil {
			return nil, err
		}
		h := m.GetHello()
		if h == nil {
			return nil, status.Error(codes.InvalidArgument, "the first message must be Hello")
		}
		if out == nil {
			out = h
		} else {
			out.Held = append(out.Held, h.GetHeld()...)
		}
		if !h.GetMore() {
			return out, nil
		}
	}
	return nil, status.Errorf(codes.ResourceExhausted, "Hello takes more than %d messages", wire.MaxHellos)
}

// receive feeds what the member sends into the state.
func (s *Server) receive(ctx context.Context, f *federation, st *serverStream) {
	pace := rate.NewLimiter(pacePerSecond, paceBurst)
	for {
		m, err := st.grpc.Recv()
		if errors.Is(err, io.EOF) {
			st.end(nil)
			return
		}
		if err != nil {
			st.end(err)
			return
		}
		if pace.WaitN(ctx, 1+proto.Size(m)/paceBytes) != nil {
			return
		}
		var e Event
		switch m := m.GetMessage().(type) {
		case *federationv1.MemberMessage_Exports:
			e = Exported{st.id, m.Exports}
		case *federationv1.MemberMessage_ImportAck:
			e = Acknowledged{st.id, m.ImportAck}
		case *federationv1.MemberMessage_Unreached:
			e = Told{st.id, m.Unreached}
		default:
			st.end(status.Error(codes.InvalidArgument, "neither exports nor an acknowledgement, nor gateways"))
			return
		}
		f.mu.Lock()
		s.do(f, e)
		s.watch(f, st)
		f.mu.Unlock()
	}
}

// sendLoop sends what the state has for the member, one message after the other.
func (s *Server) sendLoop(ctx context.Context, f *federation, st *serverStream) {
	for {
		select {
		case <-st.wake:
		case <-ctx.Done():
			return
		}
		for {
			f.mu.Lock()
			m := f.state.Next(st.id)
			s.watch(f, st)
			f.mu.Unlock()
			if m == nil {
				break
			}
			if err := st.grpc.Send(m); err != nil {
				st.end(err)
				return
			}
		}
	}
}

// watch lets the timer run while updates are unanswered, and begin anew with
// each answer. The caller holds the federation's lock.
func (s *Server) watch(f *federation, st *serverStream) {
	n, answered := f.state.Unanswered(st.id)
	switch {
	case n == 0:
		st.answer.Stop()
	case answered != st.answered || st.unanswered == 0:
		st.answer.Reset(s.options.SendTimeout)
	}
	st.unanswered, st.answered = n, answered
}
