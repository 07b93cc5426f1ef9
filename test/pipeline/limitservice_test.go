// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc"

	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// counter is a service that counts for all, by the limits that it is told.
type counter struct {
	ratelimitv3.UnimplementedRateLimitServiceServer
	server *grpc.Server

	mu   sync.Mutex
	hits map[string]uint32
}

func newCountingService(p *rig.Pod) *counter {
	c := &counter{server: grpc.NewServer(), hits: map[string]uint32{}}
	ratelimitv3.RegisterRateLimitServiceServer(c.server, c)
	listener := p.Listen("0.0.0.0:8081")
	go func() { _ = c.server.Serve(listener) }()
	return c
}

// ShouldRateLimit counts each descriptor.
func (c *counter) ShouldRateLimit(_ context.Context, r *ratelimitv3.RateLimitRequest) (*ratelimitv3.RateLimitResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &ratelimitv3.RateLimitResponse{OverallCode: ratelimitv3.RateLimitResponse_OK}
	for _, d := range r.GetDescriptors() {
		key := r.GetDomain()
		for _, e := range d.GetEntries() {
			key += " " + e.GetKey() + "=" + e.GetValue()
		}
		key += fmt.Sprintf(": %d %s", d.GetLimit().GetRequestsPerUnit(), d.GetLimit().GetUnit())
		status := ratelimitv3.RateLimitResponse_OK
		if c.hits[key]++; c.hits[key] > d.GetLimit().GetRequestsPerUnit() {
			status, out.OverallCode = ratelimitv3.RateLimitResponse_OVER_LIMIT, ratelimitv3.RateLimitResponse_OVER_LIMIT
		}
		out.Statuses = append(out.Statuses, &ratelimitv3.RateLimitResponse_DescriptorStatus{
			Code: status, CurrentLimit: &ratelimitv3.RateLimitResponse_RateLimit{RequestsPerUnit: d.GetLimit().GetRequestsPerUnit(), Unit: ratelimitv3.RateLimitResponse_RateLimit_HOUR},
		})
	}
	return out, nil
}

// seen are the counters, with their limits.
func (c *counter) seen() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(c.hits)), "\n")
}

// TestRateLimitService counts for two proxies together: at a sidecar and at a gateway.
func TestRateLimitService(t *testing.T) {
	l := newLimited(t)
	service := newCountingService(l.pods["ratelimit"])
	const asked = `scope: Mesh, service: {host: ratelimit.platform.svc.cluster.local, port: 8081, timeout: 10s`
	const rules = `, rules: [{name: each, keys: ["request.headers[x-tenant]"], to: [{operation: {paths: [/a]}}], limit: {requests: 3, per: Hour}}]`
	both := func(more string) {
		l.push(briefly + limitPolicy("p", onReviews+asked+more+"}"+rules) +
			limitPolicy("q", `targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}], `+asked+more+"}"+rules))
	}
	both("")
	l.want(l.asks(4, "client", "/a", "x-tenant", "a"), "200 200 200 429")
	l.want(l.asks(1, "guest", "/a", "x-tenant", "a"), "429")
	l.want(l.asks(1, "guest", "/a", "x-tenant", "b"), "200")
	l.want(l.asks(5, "guest", "/b", "x-tenant", "a"), "200 200 200 200 200")
	l.want(l.asks(4, "outside", "/a", "x-tenant", "c"), "200 200 200 429")
	if got, want := service.seen(), `isthmesh rule=shop/p/each 0.request.headers[x-tenant]=a: 3 HOUR
isthmesh rule=shop/p/each 0.request.headers[x-tenant]=b: 3 HOUR
isthmesh rule=shop/p/each 0.request.headers[x-tenant]=c: 3 HOUR
isthmesh rule=shop/q/each 0.request.headers[x-tenant]=c: 3 HOUR`; got != want {
		t.Errorf("it was asked\n%s\nwant\n%s", got, want)
	}
	service.server.Stop()
	l.want(l.asks(2, "client", "/a", "x-tenant", "a"), "200 200")
	both(", failureMode: Deny")
	l.want(l.asks(1, "client", "/a", "x-tenant", "a"), "503")
	l.want(l.asks(1, "client", "/b", "x-tenant", "a"), "200") // no rule matches, so nobody is asked
	l.want(l.asks(1, "outside", "/a"), "503")
}
