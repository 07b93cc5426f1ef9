// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/xds"
)

// byHeader authenticates by the header "caller": namespace/serviceaccount, with
// "pod" and "expires" (a duration) beside it.
type byHeader struct{}

func (byHeader) Authenticate(ctx context.Context) (*authn.Caller, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	value := func(k string) string {
		if v := md.Get(k); len(v) > 0 {
			return v[0]
		}
		return ""
	}
	c := &authn.Caller{Namespace: value("ns"), ServiceAccount: value("sa"), PodName: value("pod"), PodUID: value("uid")}
	if c.Namespace == "" {
		return nil, status.Error(codes.Unauthenticated, "no credentials")
	}
	if d, err := time.ParseDuration(value("expires")); err == nil {
		c.NotAfter = time.Now().Add(d)
	}
	c.Identity = spiffeid.RequireFromPathf(spiffeid.RequireTrustDomainFromString("west.example"), "/ns/%s/sa/%s", c.Namespace, c.ServiceAccount)
	return c, nil
}

// harness is a server on an in-memory listener.
type harness struct {
	server   *xds.Server
	registry *prometheus.Registry
	conn     *grpc.ClientConn
	listener *bufconn.Listener
	machines *registrar
	cancel   func() // ends Run
	stop     func()
}

func start(t testing.TB, limits xds.Limits, dialOptions ...grpc.DialOption) *harness {
	t.Helper()
	registry, machines := prometheus.NewRegistry(), &registrar{}
	server, err := xds.New(xds.Options{
		Authenticator: byHeader{}, Registry: registry, Log: logr.Discard(), Limits: limits, Machines: machines,
		Jitter: func(d time.Duration) time.Duration { return d / 2 },
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 16)
	g := grpc.NewServer(xds.ServerOptions()...)
	server.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	h := &harness{server: server, registry: registry, listener: listener, machines: machines, cancel: cancel}
	h.conn = h.dialAgain(t, dialOptions...)
	h.stop = func() {
		_ = h.conn.Close()
		cancel()
		<-ran
		g.Stop()
		<-served
	}
	return h
}

// dialAgain makes another connection.
func (h *harness) dialAgain(t testing.TB, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:xds", append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return h.listener.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// as makes a context with credentials.
func as(ctx context.Context, pairs ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}
