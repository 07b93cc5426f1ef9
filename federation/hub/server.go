// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"cmp"
	"crypto/tls"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Federation is the identity under which the hub serves one federation.
type Federation struct {
	// Name is "namespace/name".
	Name string
	// ServerName is the SNI by which members call; trust.HubServerName makes it.
	ServerName string
	// Certificate of the hub for ServerName, issued by the federation's root.
	Certificate *tls.Certificate
	// Roots that members' certificates are verified against.
	Roots trust.Bundle
}

// Options of a Server. The zero value of each field but Enroller has a good default.
type Options struct {
	Enroller Enroller
	Log      logr.Logger
	Limits   Limits
	// SendTimeout is how long updates may stay without any answer before their
	// stream is closed; 30 seconds by default.
	SendTimeout time.Duration
	// EnrolRate is how many enrolments per second are taken in, over all callers; 10 by default.
	EnrolRate float64
	// Now is the clock that certificates are judged by; time.Now by default.
	Now func() time.Time
}

// Server is the hub's end of all streams. GRPC makes the grpc.Server for it.
// It is for concurrent use.
type Server struct {
	federationv1.UnimplementedFederationServer
	options  Options
	changes  *changes
	enrols   *rate.Limiter
	streamID atomic.Uint64

	mu          sync.RWMutex
	closed      bool
	ready       bool // SetMembers was called
	federations map[string]*federation
	byName      map[string]*federation // by server name
}

// federation is the state of one federation and the streams around it.
type federation struct {
	name string
	// identity may be nil: members are known, but nobody can call yet. Guarded by Server.mu.
	identity *Federation

	mu      sync.Mutex
	state   *State
	issued  map[string]trust.Issued // by serial of the intermediate
	streams map[StreamID]*serverStream
}

// New makes a Server. It answers Unavailable until SetMembers was called once.
func New(o Options) *Server {
	o.SendTimeout = cmp.Or(o.SendTimeout, 30*time.Second)
	o.EnrolRate = cmp.Or(o.EnrolRate, 10)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{
		options:     o,
		changes:     newChanges(),
		enrols:      rate.NewLimiter(rate.Limit(o.EnrolRate), int(2*o.EnrolRate)+1),
		federations: map[string]*federation{},
		byName:      map[string]*federation{},
	}
}

// SetFederations replaces the federations that are served. Streams of one that
// is gone, or whose roots changed, are closed; members come back by themselves.
func (s *Server) SetFederations(list []Federation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := make(map[string]*Federation, len(list))
	for _, f := range list {
		wanted[f.Name] = &f
	}
	for name, f := range s.federations {
		if was, is := f.identity, wanted[name]; was != nil && (is == nil || !is.Roots.Equal(was.Roots)) {
			f.endAll(status.Error(codes.Unavailable, "the federation's roots changed: connect again"))
		}
		f.identity = wanted[name]
	}
	s.byName = make(map[string]*federation, len(wanted))
	for name, w := range wanted {
		f := s.federation(name)
		f.identity = w
		s.byName[w.ServerName] = f
	}
	s.forget()
}

// SetMembers replaces the members of all federations: the list is complete, a
// member that it lacks is deleted. Call it once the informers are synced, and
// on each change.
func (s *Server) SetMembers(members []Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	by := map[string][]Member{}
	for _, m := range members {
		by[m.Federation] = append(by[m.Federation], m)
		s.federation(m.Federation)
	}
	for _, name := range slices.Sorted(maps.Keys(s.federations)) {
		f := s.federations[name]
		f.mu.Lock()
		f.issued = issued(by[name], s.options.Log)
		s.do(f, MembersSet{by[name]})
		f.mu.Unlock()
	}
	s.ready = true
	s.forget()
}

// federation finds or makes one. The caller holds mu.
func (s *Server) federation(name string) *federation {
	f := s.federations[name]
	if f == nil {
		f = &federation{name: name, state: NewState(s.options.Limits), streams: map[StreamID]*serverStream{}}
		s.federations[name] = f
	}
	return f
}

// forget drops federations that have neither identity nor members. The caller holds mu.
func (s *Server) forget() {
	for name, f := range s.federations {
		f.mu.Lock()
		empty := f.identity == nil && len(f.state.members) == 0
		f.mu.Unlock()
		if empty {
			delete(s.federations, name)
		}
	}
}

// do steps a federation's state, whose lock the caller holds, and does what follows.
func (s *Server) do(f *federation, e Event) {
	for _, o := range f.state.Step(e) {
		switch o := o.(type) {
		case Wake:
			f.streams[o.Stream].wakeUp()
		case Close:
			code := codes.PermissionDenied
			if o.Reason == CloseInstances {
				code = codes.ResourceExhausted
			}
			f.streams[o.Stream].end(status.Error(code, string(o.Reason)))
		case Changed:
			s.changes.put(Ref{f.name, o.Member})
		}
	}
}

func (f *federation) endAll(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, st := range f.streams {
		st.end(why)
	}
}

func (s *Server) lookup(name string) *federation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.federations[name]
}

// Status of one member; the zero Status for one that is not known.
func (s *Server) Status(r Ref) Status {
	f := s.lookup(r.Federation)
	if f == nil {
		return Status{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.Status(r.Member)
}

// FederationStatus counts over all members of the federation ("namespace/name").
func (s *Server) FederationStatus(name string) FederationStatus {
	f := s.lookup(name)
	if f == nil {
		return FederationStatus{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.FederationStatus()
}

// Changed tells whose Status changed. Changes to one member that nobody read
// yet are one. A Ref with an empty Member means that FederationStatus changed.
func (s *Server) Changed() <-chan Ref { return s.changes.out }

// Close ends all streams, so that the grpc.Server can stop gracefully.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, f := range s.federations {
		f.endAll(status.Error(codes.Unavailable, "the hub stops: connect again"))
	}
	s.changes.close()
}
