// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// GRPC makes the gRPC server for s: TLS by the federation asked for, dead peers
// found by keepalives in 15 seconds, and bounds on what one connection may do.
// Serve it on the hub's port; call s.Close before its GracefulStop.
func (s *Server) GRPC(extra ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.Creds(credentials.NewTLS(s.TLSConfig())),
		grpc.InTapHandle(s.admit),
		grpc.MaxRecvMsgSize(wire.MaxMessageBytes),
		grpc.MaxConcurrentStreams(8),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, MaxConnectionIdle: 5 * time.Minute}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}, extra...)...)
	federationv1.RegisterFederationServer(g, s)
	return g
}

// admit turns calls away before anything of them is read: whoever has no
// certificate may only enrol, and all together only so often.
func (s *Server) admit(ctx context.Context, info *tap.Info) (context.Context, error) {
	if info.FullMethodName == federationv1.Federation_Enroll_FullMethodName {
		if !s.enrols.Allow() {
			return nil, status.Error(codes.ResourceExhausted, "too many enrolments at once: try again")
		}
		return ctx, nil
	}
	if p, ok := peer.FromContext(ctx); ok {
		if t, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(t.State.PeerCertificates) > 0 {
			return ctx, nil
		}
	}
	return nil, status.Error(codes.Unauthenticated, "no client certificate")
}
