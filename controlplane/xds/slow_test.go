// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/xds"
)

// TestStalledReader: a client that stops reading delays nobody, costs no more
// however much is pushed, and is dropped in the end.
func TestStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, xds.Limits{}, grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<16))
		defer h.stop()
		b := newBuilder()
		push := func(version string) {
			text := "EDS"
			for i := range 40 { // 10 KiB each
				text += fmt.Sprintf(" e%02d=%s%s", i, version, strings.Repeat("x", 10<<10))
			}
			w, err := b.world(text + "\nRDS " + fmt.Sprintf("80=%s", version) + "\nLDS l=" + version)
			if err != nil {
				t.Fatal(err)
			}
			h.server.Push(w)
			synctest.Wait()
		}
		push("v0")

		// It asks for all, and reads nothing.
		ctx, cancel := context.WithCancel(as(context.Background(), "ns", "shop", "sa", "slow"))
		defer cancel()
		slow, err := discoveryv3.NewAggregatedDiscoveryServiceClient(h.conn).DeltaAggregatedResources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, url := range []string{envoy.EndpointType, envoy.ListenerType, envoy.RouteType} {
			r := &discoveryv3.DeltaDiscoveryRequest{Node: proxyNode("slow", "shop", nil), TypeUrl: url, ResourceNamesSubscribe: []string{"*"}}
			if err := slow.Send(r); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()

		// Its connection is full, so the other one has its own.
		fastCtx, stop := context.WithCancel(as(context.Background(), "ns", "shop", "sa", "fast"))
		defer stop()
		conn := h.dialAgain(t)
		defer func() { _ = conn.Close() }()
		fast, err := dial(fastCtx, conn, proxyNode("fast", "shop", nil), false)
		if err != nil {
			t.Fatal(err)
		}
		fast.auto = true
		for _, short := range []string{"EDS", "LDS", "RDS"} {
			if err := fast.send(request{short: short, subscribe: []string{"*"}}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()

		before := runtime.NumGoroutine()
		for i := range 50 {
			version := fmt.Sprintf("v%d", i+1)
			push(version)
			if !strings.Contains(fast.state(), "RDS 80="+version) {
				t.Fatalf("the other client has not got push %s", version)
			}
		}
		if n := runtime.NumGoroutine(); n > before+1 {
			t.Errorf("%d goroutines before the pushes, %d after", before, n)
		}
		if n := sent(h.server, "slow.shop"); n > 3 {
			t.Errorf("%d responses were sent to the client that doesn't read", n)
		}

		<-time.After(time.Minute)
		synctest.Wait()
		if n := len(h.server.Proxies()); n != 1 {
			t.Errorf("%d proxies are connected, want the one that reads", n)
		}
		// When it reads at last it is told.
		for err = nil; err == nil; {
			_, err = slow.Recv()
		}
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("it is told %v", err)
		}
	})
}

// sent is how many nonces a proxy was given.
func sent(s *xds.Server, id string) int {
	n := 0
	for _, p := range s.Proxies() {
		for _, ty := range p.Types {
			if p.ID == id && ty.Sent != "" {
				n++
			}
		}
	}
	return n
}

// TestShutdown: when Run ends, streams are told to go elsewhere.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, xds.Limits{})
		c, err := dial(as(context.Background(), "ns", "shop", "sa", "x"), h.conn, proxyNode("p", "shop", nil), false)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h.cancel()
		synctest.Wait()
		if got := strings.Join(c.told(), "\n"); got != "< end Unavailable: control plane is shutting down" {
			t.Errorf("it is told %q", got)
		}
		h.stop()
	})
}
