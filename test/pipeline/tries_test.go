// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"
)

// TestTries: how often a request is tried, where, and how long each time.
func TestTries(t *testing.T) {
	y := newYard(t, "near", "far")
	const (
		near = "endpoint shop/%s:80 10.244.1.1:8080 plain zone=eu/eu-1\n"
		far  = "endpoint shop/%s:80 10.244.1.2:8080 plain zone=us/us-1\n"
		// Endpoints are in order, and never ejected.
		ordered = "{outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 0}}"
	)
	lines := service("remote", 1, "80/HTTP") + fmt.Sprintf(near+far, "remote", "remote") +
		service("local", 2, "80/HTTP") + fmt.Sprintf(near+far, "local", "local") +
		service("slow", 3, "80/HTTP", "10.244.1.1:8080") +
		service("counted", 4, "80/HTTP", "10.244.1.1:8080") +
		service("usual", 5, "80/HTTP", "10.244.1.1:8080") +
		service("calls", 6, "90/GRPC", "10.244.1.1:9090")
	objects := rule("remote", ordered) + rule("local", ordered) +
		routed("remote", "retries: {attempts: 4, retryOn: 5xx, retryRemoteLocalities: true, backoff: 5ms}") +
		routed("local", "retries: {attempts: 4, retryOn: 5xx, backoff: 5ms}") +
		routed("slow", "retries: {attempts: 2, perTryTimeout: 1s, retryOn: gateway-error}") +
		routed("counted", `retries: {attempts: 2, retryOn: "503"}`)
	calls := &unsteady{}
	listener := y.pods["near"].pod.Listen("0.0.0.0:9090")
	backend := grpc.NewServer()
	healthgrpc.RegisterHealthServer(backend, calls)
	go func() { _ = backend.Serve(listener) }()
	t.Cleanup(backend.Stop)
	y.push(lines, objects)
	a := y.pods["near"]

	t.Run("RemoteLocalities", func(t *testing.T) {
		a.answers(status(503))
		defer a.answers(nil)
		for range 20 {
			if r := y.get("remote"); r.status != 200 || r.pod != "far" {
				t.Errorf("%d of %s", r.status, r.pod)
			}
			if r := y.get("local"); r.status != 503 || r.pod != "near" {
				t.Errorf("%d of %s, though only the near ones are to be tried", r.status, r.pod)
			}
		}
	})
	t.Run("PerTryTimeout", func(t *testing.T) {
		var n atomic.Int64
		do, release := held()
		defer release()
		a.answers(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) == 1 {
				do(w, r)
			}
		})
		defer a.answers(nil)
		began := time.Now()
		r := y.get("slow")
		if took := time.Since(began); r.status != 200 || n.Load() != 2 || took < 900*time.Millisecond {
			t.Errorf("%d after %d tries in %v", r.status, n.Load(), took)
		}
	})
	t.Run("PerTryTimeoutOfAll", func(t *testing.T) {
		do, release := held()
		defer release()
		a.answers(do)
		defer a.answers(nil)
		began, before := time.Now(), a.requests.Load()
		r := y.get("slow")
		if took, n := time.Since(began), a.requests.Load()-before; r.status != 504 || n != 3 || took < 2700*time.Millisecond {
			t.Errorf("%d after %d tries in %v", r.status, n, took)
		}
	})
	t.Run("Attempts", func(t *testing.T) {
		a.answers(status(503))
		defer a.answers(nil)
		before := a.requests.Load()
		if r := y.get("counted"); r.status != 503 || a.requests.Load()-before != 3 {
			t.Errorf("%d after %d tries, want 3", r.status, a.requests.Load()-before)
		}
		// What an application itself has answered is nothing to try again.
		before = a.requests.Load()
		if r := y.get("usual"); r.status != 503 || a.requests.Load()-before != 1 {
			t.Errorf("%d after %d tries, want 1", r.status, a.requests.Load()-before)
		}
	})
	conn, err := grpc.NewClient("passthrough:///"+y.vip("calls"), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("calls"),
		grpc.WithDisableRetry(), grpc.WithContextDialer(func(_ context.Context, address string) (net.Conn, error) { return y.caller.Dial(address) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	health := healthgrpc.NewHealthClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), eventually)
	defer cancel()
	t.Run("GRPCUnavailable", func(t *testing.T) {
		calls.fail.Store(2)
		if _, err := health.Check(ctx, &healthgrpc.HealthCheckRequest{}); err != nil || calls.tries.Swap(0) != 3 {
			t.Errorf("%v", err)
		}
		calls.code.Store(uint32(codes.Internal))
		calls.fail.Store(1)
		if _, err := health.Check(ctx, &healthgrpc.HealthCheckRequest{}); grpcstatus.Code(err) != codes.Internal || calls.tries.Swap(0) != 1 {
			t.Errorf("%v, which is not to be tried again", err)
		}
		calls.code.Store(0)
	})
	t.Run("GRPCStream", func(t *testing.T) {
		calls.fail.Store(1)
		stream, err := health.Watch(ctx, &healthgrpc.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if m, err := stream.Recv(); err != nil || m.GetStatus() != healthgrpc.HealthCheckResponse_SERVING {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		if n := calls.tries.Load(); n != 2 {
			t.Errorf("%d tries, want 2", n)
		}
	})
}

// unsteady fails some calls before it answers.
type unsteady struct {
	healthgrpc.UnimplementedHealthServer
	fail, tries atomic.Int64
	// code of failures; 0 is UNAVAILABLE.
	code atomic.Uint32
}

func (u *unsteady) try() error {
	u.tries.Add(1)
	if u.fail.Add(-1) < 0 {
		return nil
	}
	code := codes.Code(u.code.Load())
	if code == codes.OK {
		code = codes.Unavailable
	}
	return grpcstatus.Error(code, "as the test wants it")
}

func (u *unsteady) Check(context.Context, *healthgrpc.HealthCheckRequest) (*healthgrpc.HealthCheckResponse, error) {
	return &healthgrpc.HealthCheckResponse{Status: healthgrpc.HealthCheckResponse_SERVING}, u.try()
}

func (u *unsteady) Watch(_ *healthgrpc.HealthCheckRequest, s grpc.ServerStreamingServer[healthgrpc.HealthCheckResponse]) error {
	if err := u.try(); err != nil {
		return err
	}
	for range 5 {
		if err := s.Send(&healthgrpc.HealthCheckResponse{Status: healthgrpc.HealthCheckResponse_SERVING}); err != nil {
			return err
		}
	}
	return nil
}
