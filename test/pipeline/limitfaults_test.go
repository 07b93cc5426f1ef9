// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// mood of a counting service: what it does before it counts. An error is its answer.
type mood func(context.Context) error

func fine(context.Context) error { return nil }

func failing(context.Context) error { return grpcstatus.Error(codes.Internal, "out of memory") }

// hanging answers nobody who waits.
func hanging(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// moody counts as counter does, when it is in the mood to.
type moody struct {
	*counter

	mu  sync.Mutex
	now mood
	// left is how many it answers until it hangs, when it is not negative.
	left int
}

func newMoody(p *rig.Pod) *moody {
	m := &moody{counter: &counter{hits: map[string]uint32{}}, now: fine, left: -1}
	m.serve(p)
	return m
}

// serve on the pod's port. The counts stay, as where they are in a store.
func (m *moody) serve(p *rig.Pod) {
	m.server = grpc.NewServer()
	ratelimitv3.RegisterRateLimitServiceServer(m.server, m)
	listener := p.Listen("0.0.0.0:8081")
	server := m.server
	go func() { _ = server.Serve(listener) }()
}

// is in a mood from now on; it answers n more questions before it hangs, all of them if n is negative.
func (m *moody) is(now mood, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.left = now, n
}

func (m *moody) ShouldRateLimit(ctx context.Context, r *ratelimitv3.RateLimitRequest) (*ratelimitv3.RateLimitResponse, error) {
	m.mu.Lock()
	now := m.now
	if m.left == 0 {
		now = hanging
	}
	m.left = max(m.left-1, min(m.left, 0))
	m.mu.Unlock()
	if err := now(ctx); err != nil {
		return nil, err
	}
	return m.counter.ShouldRateLimit(ctx, r)
}

// faulty are policies for the server's path /open, which passes while nobody counts, and for
// /shut, which doesn't. Each may be asked for once an hour by a caller of a name.
func faulty() string {
	policy := func(path, mode string) string {
		return limitPolicy(path, onReviews+`scope: Mesh, service: {host: ratelimit.platform.svc.cluster.local, port: 8081, timeout: 3s, failureMode: `+mode+`},
			rules: [{name: each, keys: ["request.headers[name]"], to: [{operation: {paths: [/`+path+`]}}], limit: {requests: 1, per: Hour}}]`)
	}
	return briefly + policy("open", "Allow") + policy("shut", "Deny")
}

// both paths, asked at once: their statuses, and how long the slower one took.
func (l *limited) both(name string) (string, time.Duration) {
	l.Helper()
	var statuses [2]int
	var wait sync.WaitGroup
	start := time.Now()
	for i, path := range []string{"/open", "/shut"} {
		r, err := http.NewRequestWithContext(l.Context(), http.MethodGet, "http://10.96.0.7"+path, nil)
		if err != nil {
			l.Fatal(err)
		}
		r.Header.Set("name", name)
		wait.Go(func() {
			resp, err := l.callers["client"].Do(r)
			if err != nil {
				l.Error(err)
				return
			}
			statuses[i] = resp.StatusCode
			_ = resp.Body.Close()
		})
	}
	wait.Wait()
	return fmt.Sprint(statuses[0], " ", statuses[1]), time.Since(start)
}

// TestRateLimitServiceFails in each way in which a service can: while it does, the policies'
// failureMode holds, and as soon as it answers again the limits do, with what was counted.
func TestRateLimitServiceFails(t *testing.T) {
	l := newLimited(t)
	service := newMoody(l.pods["ratelimit"])
	l.push(faulty())
	const passed, limits, failed = "200 200", "429 429", "200 503"
	asks := func(what, name, want string) time.Duration {
		t.Helper()
		got, took := l.both(name)
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		return took
	}
	// eventually, because whoever has lost a connection tries again only after a while.
	eventually := func(what, name, want string) {
		t.Helper()
		got, deadline := "", time.Now().Add(30*time.Second)
		for got != want {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s, want %s", what, got, want)
			}
			got, _ = l.both(name)
		}
	}
	timedOut := func(what, name string) {
		t.Helper()
		if took := asks(what, name, failed); took < 2500*time.Millisecond {
			t.Errorf("%s: it was waited for %s, want the policy's timeout", what, took)
		}
	}
	asks("it answers", "a", passed)
	asks("it answers", "a", limits)

	service.is(failing, -1)
	asks("it answers with an error", "a", failed)
	service.is(fine, -1)
	asks("it answers again", "a", limits)

	service.is(hanging, -1)
	timedOut("it is slower than the timeout", "a")
	service.is(fine, -1)
	asks("it is fast again", "a", limits)

	service.is(fine, 4)
	asks("it answers some", "b", passed)
	asks("it answers some", "b", limits)
	timedOut("then it hangs", "b")
	service.is(fine, -1)
	asks("it hangs no more", "b", limits)

	restore := l.pods["ratelimit"].Swallow("10.244.0.20")
	timedOut("its network is gone", "b")
	restore()
	eventually("its network is back", "b", limits)

	service.server.Stop()
	eventually("it is stopped", "b", failed)
	service.serve(l.pods["ratelimit"])
	eventually("it is started again", "b", limits)
	t.Cleanup(service.server.Stop)

	stats := l.proxies["reviews"].Get("/stats?filter=ratelimitpolicy")
	for _, name := range []string{"shop.open.error", "shop.open.failure_mode_allowed", "shop.open.over_limit", "shop.shut.error", "shop.shut.over_limit"} {
		if !strings.Contains(stats, name+": ") || strings.Contains(stats, name+": 0\n") {
			t.Errorf("%s is not counted in\n%s", name, stats)
		}
	}
}

// TestRateLimitServiceUnseen: what keeps a proxy from a service that runs is told, and the
// policies' failureMode holds.
func TestRateLimitServiceUnseen(t *testing.T) {
	l := newLimited(t)
	newMoody(l.pods["ratelimit"])
	const passed, limits, failed = "200 200", "429 429", "200 503"
	sidecar := func(hosts string) string {
		return "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: narrow, namespace: shop}\nspec: {workloadSelector: {labels: {app: reviews}}, egress: [{hosts: [" + hosts + "]}]}\n"
	}
	const service, port = "metadata: {name: ratelimit, namespace: platform}", "ports: [{name: grpc, port: 8081"
	for _, c := range []struct {
		name          string
		old, instead  string // in the world
		more          string // beside it
		told          string // field and reason
		first, second string
	}{
		{"Sidecar", service, service, sidecar(`"./*"`), "spec.service.host NotVisible", failed, failed},
		{"SidecarShows", service, service, sidecar(`"./*", "platform/ratelimit.platform.svc.cluster.local"`), "", passed, limits},
		{"NotExported", service, service[:len(service)-1] + `, annotations: {networking.istio.io/exportTo: "."}}`, "", "spec.service.host NotVisible", failed, failed},
		{"Exported", service, service[:len(service)-1] + `, annotations: {networking.istio.io/exportTo: "., shop"}}`, "", "", passed, limits},
		{"NoPort", port, "ports: [{name: grpc, port: 8082", "", "spec.service.port PortNotFound", failed, failed},
		{"HTTP", port, "ports: [{name: http, port: 8081", "", "spec.service.port WrongProtocol", failed, failed},
		{"NotDeclared", port, "ports: [{port: 8081", "", "spec.service.port WrongProtocol", failed, failed},
		{"AppProtocol", port, "ports: [{name: x, appProtocol: grpc, port: 8081", "", "", passed, limits},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.T = t
			var told []string
			for _, p := range l.world(strings.ReplaceAll(limitedWorld, c.old, c.instead) + faulty() + c.more) {
				told = append(told, p.Name+" "+p.Field+" "+p.Reason)
			}
			var want []string
			if c.told != "" {
				want = []string{"open " + c.told, "shut " + c.told}
			}
			if !slices.Equal(told, want) {
				t.Errorf("told is %q, want %q", told, want)
			}
			for i, want := range []string{c.first, c.second} {
				if got, _ := l.both(c.name); got != want {
					t.Errorf("question %d: %s, want %s", i, got, want)
				}
			}
		})
	}
}
