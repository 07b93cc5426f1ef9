// SPDX-License-Identifier: Apache-2.0

package hds

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	healthv3 "github.com/envoyproxy/go-control-plane/envoy/service/health/v3"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/gateways/eastwest"
)

// Options of a Server.
type Options struct {
	// Authenticator of streams; required.
	Authenticator interface {
		Authenticate(ctx context.Context) (*authn.Caller, error)
	}
	// Registry takes the metrics; nil keeps them to the server.
	Registry prometheus.Registerer
	// Log is told when a gateway comes or goes.
	Log logr.Logger
	// Changed is told that Unreached says something else; nil tells nobody. It must
	// not block, nor call the Server.
	Changed func()
	// Now is the clock; nil takes the real one.
	Now func() time.Time
}

// Server asks gateways to check others.
type Server struct {
	healthv3.UnimplementedHealthDiscoveryServiceServer
	options Options
	up      *prometheus.GaugeVec
	count   prometheus.Gauge
	begun   chan struct{} // closed by the first Update

	mu       sync.Mutex
	mesh     *model.Mesh
	asked    *healthv3.HealthCheckSpecifier
	asking   chan struct{} // closed when asked is another one
	targets  []model.RemoteGateway
	checkers map[*checker]struct{}
	// known have passed a check of anybody.
	known     map[model.RemoteGateway]bool
	unreached []model.RemoteGateway
}

// New returns a server that has nothing checked before the first Update.
func New(o Options) (*Server, error) {
	if o.Authenticator == nil {
		return nil, errors.New("health discovery needs an authenticator")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		options: o,
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "isthmesh_remote_gateway_up",
			Help: "1 while an east-west gateway of another member answers this member's gateways, or nobody knows; 0 when it doesn't.",
		}, []string{"member", "gateway"}),
		count: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "isthmesh_gateway_checkers", Help: "Gateways of this member that check those of other members, as this replica sees.",
		}),
		begun:    make(chan struct{}),
		asking:   make(chan struct{}),
		checkers: map[*checker]struct{}{},
		known:    map[model.RemoteGateway]bool{},
	}
	if o.Registry != nil {
		o.Registry.MustRegister(s.up, s.count)
	}
	return s, nil
}

// Register the health discovery service on a gRPC server.
func (s *Server) Register(g grpc.ServiceRegistrar) {
	healthv3.RegisterHealthDiscoveryServiceServer(g, s)
}

// Update takes the mesh that says what is to be checked, and by whom.
func (s *Server) Update(m *model.Mesh) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.mesh == nil
	same := !first && s.mesh.Settings == m.Settings && slices.Equal(s.mesh.Remotes, m.Remotes)
	s.mesh = m
	if first {
		defer close(s.begun)
	}
	if same {
		return
	}
	asked := eastwest.Checks(m)
	if s.asked != nil && proto.Equal(s.asked, asked) {
		return
	}
	s.asked = asked
	close(s.asking)
	s.asking = make(chan struct{})
	s.retarget()
	s.judge()
}

// retarget forgets what is not checked any more. The caller holds the lock.
func (s *Server) retarget() {
	s.targets = nil
	for _, c := range s.asked.GetClusterHealthChecks() {
		for _, l := range c.GetLocalityEndpoints() {
			for _, e := range l.GetEndpoints() {
				s.targets = append(s.targets, gatewayAt(c.GetClusterName(), e))
			}
		}
	}
	slices.SortFunc(s.targets, model.RemoteGateway.Compare)
	for g := range s.known {
		if !s.isTarget(g) {
			delete(s.known, g)
		}
	}
	for c := range s.checkers {
		for g := range c.found {
			if !s.isTarget(g) {
				delete(c.found, g)
			}
		}
	}
	s.up.Reset()
}

func (s *Server) isTarget(g model.RemoteGateway) bool {
	_, ok := slices.BinarySearchFunc(s.targets, g, model.RemoteGateway.Compare)
	return ok
}

// Unreached are the gateways that don't answer, sorted. The slice is another one
// whenever it says something else; nobody may write to it.
func (s *Server) Unreached() []model.RemoteGateway {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unreached
}

// Run takes back what nobody says any more, until ctx ends; it returns ctx's error.
func (s *Server) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			s.mu.Lock()
			s.judge()
			s.mu.Unlock()
		}
	}
}

// judge all gateways. The caller holds the lock.
func (s *Server) judge() {
	now := s.options.Now()
	var out []model.RemoteGateway
	working := 0
	if s.mesh != nil && s.mesh.Settings.GatewayChecks != nil {
		t := timingOf(s.mesh.Settings.GatewayChecks)
		for c := range s.checkers {
			switch {
			case c.ended && now.Sub(c.said) > t.hold:
				delete(s.checkers, c)
			case !c.ended:
				working++
			}
		}
		for _, g := range s.targets {
			var opinions []opinion
			for c := range s.checkers {
				opinions = append(opinions, c.opinion(g, s.known[g], t, now))
			}
			up := 1.0
			if lost(opinions) {
				out, up = append(out, g), 0
			}
			s.up.WithLabelValues(string(g.Cluster), hostPort(g)).Set(up)
		}
	}
	s.count.Set(float64(working))
	if slices.Equal(out, s.unreached) {
		return
	}
	s.tell(s.unreached, out)
	s.unreached = out
	if s.options.Changed != nil {
		s.options.Changed()
	}
}

// tell the log what changed.
func (s *Server) tell(before, after []model.RemoteGateway) {
	for _, g := range after {
		if !slices.Contains(before, g) {
			s.options.Log.Info("gateway of another member doesn't answer: it gets no traffic as long as others do", "member", g.Cluster, "gateway", hostPort(g))
		}
	}
	for _, g := range before {
		if !slices.Contains(after, g) {
			s.options.Log.Info("gateway of another member is in use again", "member", g.Cluster, "gateway", hostPort(g))
		}
	}
}

func hostPort(g model.RemoteGateway) string {
	return net.JoinHostPort(g.Address, strconv.Itoa(int(g.Port)))
}
