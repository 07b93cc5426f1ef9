// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Server keeps proxies at the last snapshot that was pushed.
type Server struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	options Options
	limits  Limits
	metrics *metrics
	names   *nameTable
	current atomic.Pointer[epoch]

	mu      sync.Mutex
	streams map[*stream]struct{}
	owners  map[spiffeid.ID]int
}

// epoch is the time in which one snapshot is current.
type epoch struct {
	snapshot Snapshot
	cache    *cache
	began    time.Time
}

// New returns a server that answers nobody before the first Push.
func New(o Options) (*Server, error) {
	if o.Authenticator == nil {
		return nil, errors.New("xDS server needs an authenticator")
	}
	if o.Jitter == nil {
		o.Jitter = randomJitter
	}
	return &Server{
		options: o,
		limits:  o.Limits.orStandard(),
		metrics: newMetrics(o.Registry),
		names:   newNameTable(),
		streams: map[*stream]struct{}{},
		owners:  map[spiffeid.ID]int{},
	}, nil
}

// Register the aggregated discovery service, delta and state of the world, on a
// gRPC server that was made with ServerOptions.
func (s *Server) Register(g grpc.ServiceRegistrar) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
}

// Push makes a snapshot the current one and sends each proxy what differs from
// what it has. It returns when that is handed over for every proxy that can take
// it now; it waits for no proxy. Those that are still busy with an earlier
// response get this snapshot, or the then current one, when they have answered.
func (s *Server) Push(snapshot Snapshot) {
	s.current.Store(&epoch{snapshot: snapshot, cache: newCache(), began: time.Now()})
	s.each(func(st *stream) { st.flush() })
}

// Run drops proxies that are stuck or whose credentials expired, until ctx
// ends; then it closes all streams. It returns nil.
func (s *Server) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.each(func(st *stream) { st.end(status.Error(codes.Unavailable, "control plane is shutting down")) })
			return nil
		case now := <-ticker.C:
			s.each(func(st *stream) { st.check(now) })
		}
	}
}

// open streams.
func (s *Server) open() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	streams := make([]*stream, 0, len(s.streams))
	for st := range s.streams {
		streams = append(streams, st)
	}
	return streams
}

// each calls do for all streams, on all processors when there are many.
func (s *Server) each(do func(*stream)) {
	streams := s.open()
	const share = 256
	workers := min(runtime.GOMAXPROCS(0), (len(streams)+share-1)/share)
	if workers <= 1 {
		for _, st := range streams {
			do(st)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(streams)); i = next.Add(1) - 1 {
				do(streams[i])
			}
		})
	}
	wg.Wait()
}

// DeltaAggregatedResources serves one delta stream.
func (s *Server) DeltaAggregatedResources(g discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(g, false)
}

// StreamAggregatedResources serves one state-of-the-world stream.
func (s *Server) StreamAggregatedResources(g discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.serve(g, true)
}

func (s *Server) serve(g grpc.ServerStream, sotw bool) error {
	caller, err := s.options.Authenticator.Authenticate(g.Context())
	if err != nil {
		if status.Code(err) == codes.Unknown {
			return status.Error(codes.Unauthenticated, err.Error())
		}
		return err
	}
	now := time.Now()
	st := &stream{
		server:  s,
		grpc:    g,
		caller:  caller,
		opened:  now,
		ended:   make(chan struct{}),
		session: session{sotw: sotw, names: s.names, limits: s.limits, settled: now.Add(s.limits.Answer)},
	}
	if !caller.NotAfter.IsZero() {
		st.expires = caller.NotAfter.Add(s.options.Jitter(s.limits.Expiry))
	}
	if err := s.add(st); err != nil {
		return err
	}
	defer s.remove(st)
	err = st.serve()
	if code := status.Code(err); code != codes.OK && code != codes.Canceled {
		s.options.Log.Info("stream ended", "proxy", st.id(), "identity", caller.Identity.String(), "cause", err.Error())
	}
	return err
}

func (s *Server) add(st *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := st.caller.Identity
	if s.owners[id] >= s.limits.Streams {
		return status.Errorf(codes.ResourceExhausted, "%s has %d streams open, which is the limit", id, s.limits.Streams)
	}
	s.owners[id]++
	s.streams[st] = struct{}{}
	return nil
}

func (s *Server) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
	id := st.caller.Identity
	if s.owners[id]--; s.owners[id] == 0 {
		delete(s.owners, id)
	}
}
