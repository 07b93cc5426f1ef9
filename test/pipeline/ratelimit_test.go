// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc"

	"github.com/isthmesh/isthmesh/controlplane/model"
	_ "github.com/isthmesh/isthmesh/controlplane/patch/extensions" // as the control plane has them
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

const productpage = `
member west network=n1 trust=west.example
service default/productpage vip=10.96.0.7 port=8000/HTTP id=default/productpage
endpoint default/productpage:8000 10.244.0.20:9080
service shop/other vip=10.96.0.8 port=80/HTTP
endpoint shop/other:80 10.244.0.20:9080 plain
workload default/productpage-1 10.244.0.20 sa=productpage labels=app=productpage mtls=Permissive in=9080/HTTP
workload istio-system/gateway-1 10.244.0.30 sa=gateway labels=istio=ingressgateway in=8080/HTTP
`

// bookinfo is productpage behind a gateway, both real, with filters of a file.
type bookinfo struct {
	*testing.T
	mesh            *model.Mesh
	fabric          *rig.Fabric
	client, limiter *rig.Pod
	pod             *rig.Pod // of the page
	page, gateway   *rig.Proxy
	previous        *snapshot.Snapshot
}

func newBookinfo(t *testing.T) *bookinfo {
	t.Helper()
	b := &bookinfo{T: t, mesh: mesh(t, productpage), fabric: rig.New(t)}
	b.mesh.Workloads[0].Inbound[0].ServicePort = 8000
	b.mesh.Workloads[1].Inbound[0].ServicePort = 80
	root := rig.NewRoot(t)
	b.client, b.limiter = b.fabric.Pod("default", "client-1", "10.244.0.10"), b.fabric.Pod("default", "ratelimit-1", "10.244.0.40")
	names := nameServer(b.limiter, map[string]string{"ratelimit.default.svc.cluster.local": "10.244.0.40"})
	page, gateway := b.fabric.Pod("default", "productpage-1", "10.244.0.20"), b.fabric.Pod("istio-system", "gateway-1", "10.244.0.30")
	pageLeaf, gatewayLeaf := root.Leaf("spiffe://west.example/ns/default/sa/productpage"), root.Leaf("spiffe://west.example/ns/istio-system/sa/gateway")
	b.pod = page
	b.page = page.Envoy(rig.Options{
		Type: "sidecar", Labels: map[string]string{"app": "productpage"}, Identity: "spiffe://west.example/ns/default/sa/productpage", Leaf: &pageLeaf, Redirect: true, DNS: names,
	})
	b.gateway = gateway.Envoy(rig.Options{
		Type: "router", Labels: map[string]string{"istio": "ingressgateway"}, Identity: "spiffe://west.example/ns/istio-system/sa/gateway", Leaf: &gatewayLeaf, DNS: names,
	})
	echo(page, 9080)
	return b
}

const gateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bookinfo, namespace: default}
spec: {hosts: ["*"], gateways: [bookinfo], http: [{name: page, route: [{destination: {host: productpage, port: {number: 8000}}}]}]}
`

// push the mesh with filters.
func (b *bookinfo) push(filters string) {
	b.Helper()
	m := *b.mesh
	c := built(b.T, []byte(gateway+"---\n"+filters), nil)
	m.Patches, m.Gateways, m.Routings, m.Problems = c.Patches, c.Gateways, c.Routings, c.Problems
	s := snapshot.Build(&m, b.previous)
	b.previous = s
	b.page.Push(s)
	b.gateway.Push(s)
	for _, p := range append(s.Problems(), m.Problems...) {
		b.Errorf("%s %s/%s %s %s: %s", p.Kind, p.Namespace, p.Name, p.Field, p.Reason, p.Message)
	}
}

// through the gateway, or straight to the page.
const (
	throughGateway = "10.244.0.30:8080"
	toPage         = "10.244.0.20:9080"
)

// call a path on a new connection.
func (b *bookinfo) call(address, path string, headers ...string) (*http.Response, string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	r.Close = true
	return do(b.T, client(b.client), r)
}

// statuses of n calls, such as "200×10 429×2".
func (b *bookinfo) statuses(n int, address, path string) string {
	b.Helper()
	var out []string
	last, count := 0, 0
	for range n {
		r, _ := b.call(address, path)
		if r.StatusCode != last {
			if count > 0 {
				out = append(out, fmt.Sprintf("%d×%d", last, count))
			}
			last, count = r.StatusCode, 0
		}
		count++
	}
	return strings.Join(append(out, fmt.Sprintf("%d×%d", last, count)), " ")
}

// usedUp is the first refusal of a path: so many calls pass before, and one more
// for each time that one comes back.
func (b *bookinfo) usedUp(address, path string, passing int, back time.Duration) (*http.Response, string) {
	b.Helper()
	for passed, began := 0, time.Now(); ; passed++ {
		r, body := b.call(address, path)
		more := int(time.Since(began) / back)
		switch {
		case r.StatusCode == http.StatusTooManyRequests && passed >= passing:
			return r, body
		case r.StatusCode != http.StatusOK || passed >= passing+more:
			b.Fatalf("after %d calls: %s, want %d to pass", passed, r.Status, passing)
		}
	}
}

// TestUpstreamLocalRateLimit runs Istio's own sample: ten calls in a minute for
// one path, a hundred for all, at the sidecar that serves them.
func TestUpstreamLocalRateLimit(t *testing.T) {
	b := newBookinfo(t)
	b.push(string(upstream(t, "samples/ratelimit/local-rate-limit-service.yaml")))
	r, body := b.usedUp(toPage, "/productpage", 10, 6*time.Second)
	if r.Header.Get("x-local-rate-limit") != "true" || r.Header.Get("x-ratelimit-limit") == "" || !strings.Contains(body, "local_rate_limited") {
		t.Errorf("%s %v %s", r.Status, r.Header, body)
	}
	if got := b.statuses(5, toPage, "/health"); got != "200×5" {
		t.Errorf("what has no limit of its own: %s", got)
	}
	b.push("")
	if got := b.statuses(12, toPage, "/productpage"); got != "200×12" {
		t.Errorf("without the filter: %s", got)
	}
}

// TestUpstreamGlobalRateLimit runs Istio's own sample: the gateway asks a rate
// limit service for each call, and refuses all when it is away.
func TestUpstreamGlobalRateLimit(t *testing.T) {
	b := newBookinfo(t)
	limits := newLimits(b.limiter, map[string]uint32{"PATH=/productpage": 1, "PATH=/api": 100})
	b.push(string(upstream(t, "samples/bookinfo/policy/productpage_envoy_ratelimit.yaml")))
	if got := b.statuses(3, throughGateway, "/productpage"); got != "200×1 429×2" {
		t.Errorf("the path's limit: %s", got)
	}
	if r, _ := b.call(throughGateway, "/productpage"); r.Header.Get("x-envoy-ratelimited") != "true" {
		t.Errorf("%v", r.Header)
	}
	if got := b.statuses(3, throughGateway, "/api"); got != "200×3" {
		t.Errorf("another path's limit: %s", got)
	}
	if got, want := limits.asked(), "productpage-ratelimit PATH=/api\nproductpage-ratelimit PATH=/productpage"; got != want {
		t.Errorf("it was asked %q, want %q", got, want)
	}
	limits.server.Stop()
	if got := b.statuses(1, throughGateway, "/api"); got != "500×1" {
		t.Errorf("without the service: %s", got)
	}
}

// TestRateLimits by filters of other shapes: at the gateway without a service,
// on one route alone, and on what a sidecar's own workload calls.
func TestRateLimits(t *testing.T) {
	b := newBookinfo(t)
	const bucket = `{"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: x, token_bucket: {max_tokens: 2, tokens_per_fill: 2, fill_interval: 600s},
    filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}, status: {code: ServiceUnavailable}}`
	const filter = `{name: envoy.filters.http.local_ratelimit, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: x}}`
	b.push(`apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: at-gateway, namespace: istio-system}
spec:
  workloadSelector: {labels: {istio: ingressgateway}}
  configPatches:
  - {applyTo: HTTP_FILTER, match: {context: GATEWAY, listener: {portNumber: 8080, filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}}, patch: {operation: INSERT_BEFORE, value: ` + filter + `}}
  - {applyTo: HTTP_ROUTE, match: {context: GATEWAY, routeConfiguration: {vhost: {route: {name: page}}}}, patch: {operation: MERGE, value: {typed_per_filter_config: {envoy.filters.http.local_ratelimit: ` + bucket + `}}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: outbound, namespace: default}
spec:
  configPatches:
  - {applyTo: HTTP_FILTER, match: {context: SIDECAR_OUTBOUND}, patch: {operation: ADD, value: ` + filter + `}}
  - {applyTo: VIRTUAL_HOST, match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: "other.shop.svc.cluster.local:80"}}}, patch: {operation: MERGE, value: {typed_per_filter_config: {envoy.filters.http.local_ratelimit: ` + bucket + `}}}}
`)
	if got := b.statuses(3, throughGateway, "/"); got != "200×2 503×1" {
		t.Errorf("at the gateway: %s", got)
	}
	var called []int
	for range 3 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://10.96.0.8/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host, r.Close = "other.shop", true
		answer, _ := do(t, client(b.pod), r)
		called = append(called, answer.StatusCode)
	}
	if !slices.Equal(called, []int{200, 200, 503}) {
		t.Errorf("what the workload calls: %v", called)
	}
}

// limits is a rate limit service as the API has it: each descriptor has a count.
type limits struct {
	ratelimitv3.UnimplementedRateLimitServiceServer
	server *grpc.Server

	mu   sync.Mutex
	left map[string]uint32
	seen map[string]bool
}

func newLimits(p *rig.Pod, per map[string]uint32) *limits {
	l := &limits{server: grpc.NewServer(), left: per, seen: map[string]bool{}}
	ratelimitv3.RegisterRateLimitServiceServer(l.server, l)
	listener := p.Listen("0.0.0.0:8081")
	go func() { _ = l.server.Serve(listener) }()
	return l
}

func (l *limits) ShouldRateLimit(_ context.Context, r *ratelimitv3.RateLimitRequest) (*ratelimitv3.RateLimitResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := &ratelimitv3.RateLimitResponse{OverallCode: ratelimitv3.RateLimitResponse_OK}
	for _, d := range r.GetDescriptors() {
		var entries []string
		for _, e := range d.GetEntries() {
			entries = append(entries, e.GetKey()+"="+e.GetValue())
		}
		key := strings.Join(entries, " ")
		l.seen[r.GetDomain()+" "+key] = true
		status := &ratelimitv3.RateLimitResponse_DescriptorStatus{Code: ratelimitv3.RateLimitResponse_OK}
		if left, limited := l.left[key]; limited {
			hits := max(r.GetHitsAddend(), 1)
			if left < hits {
				status.Code, out.OverallCode = ratelimitv3.RateLimitResponse_OVER_LIMIT, ratelimitv3.RateLimitResponse_OVER_LIMIT
			} else {
				l.left[key] = left - hits
			}
		}
		out.Statuses = append(out.Statuses, status)
	}
	return out, nil
}

// asked are the domains and descriptors that were asked for.
func (l *limits) asked() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(l.seen)), "\n")
}

func do(t *testing.T, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}
