// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// rpc is a service of gRPC at the server's pod.
const rpc = `---
apiVersion: v1
kind: Service
metadata: {name: rpc, namespace: shop}
spec: {clusterIP: 10.96.0.12, selector: {app: reviews}, ports: [{name: grpc, port: 80, targetPort: 50051}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: rpc, namespace: shop, labels: {kubernetes.io/service-name: rpc}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.20], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-1, namespace: shop}}]
ports: [{name: grpc, port: 50051, protocol: TCP}]
`

// rpcFrom asks it from a pod once, and what a client of gRPC makes of the answer.
func rpcFrom(t *testing.T, from *rig.Pod, streams bool) (code codes.Code, header, trailer metadata.MD) {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///10.96.0.12:80", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(_ context.Context, address string) (net.Conn, error) { return from.Dial(address) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	client := healthv1.NewHealthClient(c)
	if !streams {
		_, err = client.Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.Header(&header), grpc.Trailer(&trailer), grpc.WaitForReady(true))
		return grpcstatus.Code(err), header, trailer
	}
	watch, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err == nil {
		_, err = watch.Recv()
	}
	if err != nil {
		trailer = watch.Trailer()
	}
	return grpcstatus.Code(err), header, trailer
}

// TestRateLimitGRPC: calls that are refused have a status of gRPC and nothing else: no body, no
// trailers apart. Whatever status HTTP gets, it is RESOURCE_EXHAUSTED, and UNAVAILABLE when nobody counts.
func TestRateLimitGRPC(t *testing.T) {
	l := newLimited(t)
	answersHealth(t, l.pods["reviews"], "0.0.0.0:50051")
	service := newMoody(l.pods["ratelimit"])
	const pod = onReviews + `rules: [{name: all, limit: {requests: 1, per: Hour}}]`
	const mesh = pod + `, scope: Mesh, service: {host: ratelimit.platform.svc.cluster.local, port: 8081, timeout: 5s, failureMode: Deny}`
	const told = `, response: {status: 403, headers: [{name: X-Why, value: much}], rateLimitHeaders: DraftVersion03}`
	for _, c := range []struct {
		name, spec string
		mood       mood
		// passes: the first call does.
		passes, streams bool
		code            string
		has             map[string]string // "" for any value
		hasNot          []string
	}{
		{"Pod", pod, fine, true, false, "8", map[string]string{"Retry-After": ""}, []string{"X-Ratelimit-Limit"}},
		{"PodTold", pod + told, fine, true, false, "8", map[string]string{"X-Why": "much", "X-Ratelimit-Limit": "", "X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": ""}, nil},
		{"PodStream", pod, fine, true, true, "8", map[string]string{"Retry-After": ""}, nil},
		{"Mesh", mesh, fine, true, false, "8", map[string]string{"Retry-After": ""}, []string{"X-Ratelimit-Limit"}},
		{"MeshTold", mesh + told, fine, true, false, "8", map[string]string{"X-Why": "much", "X-Ratelimit-Limit": "", "X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": ""}, nil},
		{"NobodyCounts", mesh + told, failing, false, false, "14", nil, []string{"Retry-After", "X-Ratelimit-Limit"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.T = t
			l.push(briefly + rpc)
			service.is(c.mood, -1)
			l.push(briefly + rpc + limitPolicy(strings.ToLower(c.name), c.spec))
			from := l.pods["client"]
			if code, header, trailer := rpcFrom(t, from, c.streams); c.passes && code != codes.OK {
				t.Errorf("the first call: %s %v %v", code, header, trailer)
			}
			code, header, trailer := rpcFrom(t, from, c.streams)
			if code.String() != map[string]string{"8": "ResourceExhausted", "14": "Unavailable"}[c.code] || len(header) > 0 {
				t.Errorf("%s, headers %v, trailers %v", code, header, trailer)
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://10.96.0.12/grpc.health.v1.Health/Check", bytes.NewReader(nothing))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/grpc")
			answer, body := do(t, clientHTTP2(from), r)
			if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "application/grpc" || answer.Header.Get("Grpc-Status") != c.code || len(answer.Trailer) > 0 || body != "" {
				t.Errorf("%s %v, trailers %v, body %q", answer.Status, answer.Header, answer.Trailer, body)
			}
			for name, value := range c.has {
				if got := answer.Header.Get(name); got == "" || value != "" && got != value {
					t.Errorf("header %s is %q, want %q", name, got, value)
				}
			}
			for _, name := range c.hasNot {
				if got := answer.Header.Get(name); got != "" {
					t.Errorf("header %s is %q", name, got)
				}
			}
		})
	}
}
