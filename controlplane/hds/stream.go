// SPDX-License-Identifier: Apache-2.0

package hds

import (
	"context"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/service/health/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// StreamHealthCheck serves one gateway's Envoy: what to check goes out whenever
// it changes, what is found comes in.
func (s *Server) StreamHealthCheck(g healthv3.HealthDiscoveryService_StreamHealthCheckServer) error {
	caller, err := s.options.Authenticator.Authenticate(g.Context())
	if err != nil {
		if status.Code(err) == codes.Unknown {
			return status.Error(codes.Unauthenticated, err.Error())
		}
		return err
	}
	first, err := g.Recv()
	if err != nil {
		return err
	}
	select {
	case <-s.begun:
	case <-g.Context().Done():
		return status.FromContextError(g.Context().Err()).Err()
	}
	if err := s.admit(first.GetHealthCheckRequest().GetNode(), caller); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	sent := make(chan error, 1)
	c := s.join()
	defer s.leave(c)
	go func() { sent <- s.ask(ctx, g, c) }()
	for {
		m, err := g.Recv()
		if err != nil {
			select {
			case failed := <-sent:
				return failed
			default:
				return err
			}
		}
		if r := m.GetEndpointHealthResponse(); r != nil {
			s.hear(c, r)
		}
	}
}

// ask for checks, and again when others are to be made. It ends with ctx, or
// when nothing can be sent.
func (s *Server) ask(ctx context.Context, g healthv3.HealthDiscoveryService_StreamHealthCheckServer, c *checker) error {
	for {
		s.mu.Lock()
		asked, another := s.asked, s.asking
		c.reask(s.options.Now())
		s.mu.Unlock()
		if err := g.Send(asked); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-another:
		}
	}
}

// admit only pods that this member's API server knows as its east-west gateways,
// with their own service account: what they say moves everybody's traffic.
func (s *Server) admit(node *corev3.Node, c *authn.Caller) error {
	kind, rest, _ := strings.Cut(node.GetId(), "~")
	_, rest, _ = strings.Cut(rest, "~")
	pod, _, _ := strings.Cut(rest, "~")
	// A pod's name may have dots, a namespace may not.
	dot := strings.LastIndexByte(pod, '.')
	if dot <= 0 {
		return status.Error(codes.InvalidArgument, "the node id is not of the form type~ip~pod.namespace~domain")
	}
	name, namespace := pod[:dot], pod[dot+1:]
	if namespace != c.Namespace || c.PodName != "" && c.PodName != name {
		return status.Error(codes.PermissionDenied, "the node id names another pod than the credential")
	}
	s.mu.Lock()
	w := s.mesh.Workload(namespace, name)
	s.mu.Unlock()
	if w == nil {
		return status.Error(codes.Unavailable, "the pod isn't known yet")
	}
	proxy := &model.Proxy{Type: model.ProxyType(kind), Labels: w.Labels}
	if !proxy.EastWest() || w.ServiceAccount != c.ServiceAccount || c.PodUID != "" && w.UID != "" && c.PodUID != w.UID {
		return status.Error(codes.PermissionDenied, "only east-west gateways check those of other members")
	}
	return nil
}

func (s *Server) join() *checker {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &checker{said: s.options.Now(), found: map[model.RemoteGateway]*observation{}}
	s.checkers[c] = struct{}{}
	return c
}

func (s *Server) leave(c *checker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.ended = true
	s.judge()
}

// hear a report. What was not asked for is not taken.
func (s *Server) hear(c *checker, r *healthv3.EndpointHealthResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.said = s.options.Now()
	for _, cluster := range r.GetClusterEndpointsHealth() {
		for _, l := range cluster.GetLocalityEndpointsHealth() {
			for _, e := range l.GetEndpointsHealth() {
				g := gatewayAt(cluster.GetClusterName(), e.GetEndpoint())
				if !s.isTarget(g) {
					continue
				}
				f := findingOf(e.GetHealthStatus())
				c.observe(g, f, c.said)
				if f == passing {
					s.known[g] = true
				}
			}
		}
	}
	s.judge()
}

func findingOf(h corev3.HealthStatus) finding {
	switch h {
	case corev3.HealthStatus_HEALTHY, corev3.HealthStatus_DEGRADED:
		return passing
	case corev3.HealthStatus_TIMEOUT:
		return hanging
	default:
		return failing
	}
}

func gatewayAt(member string, e *endpointv3.Endpoint) model.RemoteGateway {
	at := e.GetAddress().GetSocketAddress()
	return model.RemoteGateway{
		Cluster:        model.ClusterID(member),
		GatewayAddress: model.GatewayAddress{Address: at.GetAddress(), Port: uint16(min(at.GetPortValue(), 65535))},
	}
}
