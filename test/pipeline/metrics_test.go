// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// Two members of a federation: callers in west, who have a neighbour, and one more
// server in east behind its gateway.
const (
	countedEast = `
member east network=n2 trust=east.example
service shop/reviews vip=10.96.1.7 port=80/HTTP exported id=shop/reviews
endpoint shop/reviews:80 10.244.2.1:8080
workload shop/reviews-1 10.244.2.1 sa=reviews mtls=Strict in=8080/HTTP
`
	countedWest = `
member west network=n1 trust=west.example
service shop/reviews vip=240.240.0.7 port=80/HTTP imported remote id=east.example/shop/reviews
import shop/reviews:80 gateway=10.244.2.9:15443 member=east network=n2 weight=1
service shop/cart vip=10.96.0.7 port=80/HTTP port=90/GRPC port=70/TCP port=71/TCP id=shop/cart
endpoint shop/cart:80 10.244.1.2:8080
endpoint shop/cart:90 10.244.1.2:9090
endpoint shop/cart:70 10.244.1.2:7070
endpoint shop/cart:71 10.244.1.2:7171
workload shop/cart-1 10.244.1.2 sa=cart mtls=Permissive in=8080/HTTP in=9090/GRPC in=7070/TCP in=7171/TCP labels=app=cart
workload shop/client-1 10.244.1.1 sa=client
workload edge/gateway-1 10.244.1.9 sa=gateway in=8080/HTTP labels=istio=ingress
`
	countedObjects = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: edge}
spec: {selector: {istio: ingress}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: edge}
spec: {hosts: ["*"], gateways: [web], http: [{route: [{destination: {host: cart.shop.svc.cluster.local, port: {number: 80}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
  - {match: [{uri: {prefix: /broken}}], fault: {abort: {percentage: {value: 100}, httpStatus: 418}}, route: [{destination: {host: cart}}]}
  - route: [{destination: {host: cart}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: cart, namespace: shop}
spec: {selector: {matchLabels: {app: cart}}, action: DENY, rules: [{to: [{operation: {paths: [/secret], ports: ["8080"]}}]}]}
`
)

// counted are the proxies of both members. What each says of itself stands in its certificate.
type counted struct {
	t                                       *testing.T
	caller, outside                         *rig.Pod
	client, cart, reviews, ingress, passing *rig.Proxy
	west, east                              *snapshot.Snapshot
	mesh                                    *model.Mesh
}

func newCounted(t *testing.T) *counted {
	c := &counted{t: t}
	root, fabric := rig.NewRoot(t), rig.New(t)
	start := func(kind, cluster, namespace, name, address string, labels map[string]string) (*rig.Pod, *rig.Proxy) {
		id := fmt.Sprintf("spiffe://%s.example/ns/%s/sa/%s", cluster, namespace, name)
		pod := fabric.Pod(namespace, name+"-1", address)
		leaf := root.Forged(id, func(x *x509.Certificate) {
			x.DNSNames = []string{fmt.Sprintf("%s-v1|%s|%[1]s|v1|%[1]s|v1|%[3]s", name, namespace, cluster)}
		})
		return pod, pod.Envoy(rig.Options{Type: kind, Labels: labels, Identity: id, Leaf: &leaf, Redirect: kind == "sidecar", AgentStats: true})
	}
	var cart, reviews *rig.Pod
	c.caller, c.client = start("sidecar", "west", "shop", "client", "10.244.1.1", nil)
	cart, c.cart = start("sidecar", "west", "shop", "cart", "10.244.1.2", map[string]string{"app": "cart"})
	_, c.ingress = start("router", "west", "edge", "gateway", "10.244.1.9", map[string]string{"istio": "ingress"})
	reviews, c.reviews = start("sidecar", "east", "shop", "reviews", "10.244.2.1", nil)
	_, c.passing = start("router", "east", "istio-system", "eastwest", "10.244.2.9", map[string]string{"istio": "eastwestgateway"})
	c.outside = fabric.Pod("outside", "browser-1", "10.244.9.1")
	echo(cart, 8080)
	echo(reviews, 8080)
	greet(cart, 7070)
	checks := health.NewServer()
	g := grpc.NewServer()
	healthv1.RegisterHealthServer(g, checks)
	l := cart.Listen("0.0.0.0:9090")
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)

	c.mesh = mesh(t, countedWest)
	objects := built(t, []byte(countedObjects), nil)
	c.mesh.Routings, c.mesh.Gateways, c.mesh.Authorizations = objects.Routings, objects.Gateways, objects.Authorizations
	east := mesh(t, countedEast)
	c.mesh.Settings.StandardMetrics, east.Settings.StandardMetrics = true, true
	c.west, c.east = snapshot.Build(c.mesh, nil), snapshot.Build(east, nil)
	for _, p := range []*rig.Proxy{c.client, c.cart, c.ingress} {
		p.Push(c.west)
	}
	for _, p := range []*rig.Proxy{c.reviews, c.passing} {
		p.Push(c.east)
	}
	return c
}

// series are what a proxy counts of a metric: tags, sorted by name, and values. Of a
// histogram they are the numbers of what it has seen.
func series(p *rig.Proxy, metric string) []string {
	var out []string
	for line := range strings.Lines(p.Get("/stats/prometheus?filter=" + metric)) {
		name, rest, ok := strings.Cut(line, "{")
		if !ok || name != "envoy_"+metric && name != "envoy_"+metric+"_count" {
			continue
		}
		tags, value, _ := strings.Cut(rest, "} ")
		var kept []string
		for _, tag := range strings.Split(tags, `",`) {
			k, v, _ := strings.Cut(tag, `="`)
			if v = strings.TrimSuffix(v, `"`); v != "" {
				kept = append(kept, k+"="+v)
			}
		}
		slices.Sort(kept)
		out = append(out, strings.Join(kept, " ")+" "+strings.TrimSpace(value))
	}
	slices.Sort(out)
	return out
}

// counts waits until a proxy counts just this: series, whose tags may stand in any
// order, and of each how much.
func (c *counted) counts(p *rig.Proxy, metric string, want ...string) {
	c.t.Helper()
	for i, s := range want {
		words := strings.Fields(s)
		slices.Sort(words[:len(words)-1])
		want[i] = strings.Join(words, " ")
	}
	slices.Sort(want)
	var got []string
	for end := time.Now().Add(eventually); time.Now().Before(end); <-time.After(50 * time.Millisecond) {
		if got = series(p, metric); slices.Equal(got, want) {
			return
		}
	}
	c.t.Errorf("%s -want +got:\n%s", metric, cmp.Diff(want, got))
}

// call is one request; nothing of it is left when it returns.
func (c *counted) call(from *rig.Pod, address, host, path string, code int) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Host, r.Close = host, true
	resp, err := client(from).Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, _ = io.Copy(io.Discard, resp.Body); resp.StatusCode != code {
		c.t.Errorf("%s answers %d, want %d", path, resp.StatusCode, code)
	}
}

// refused is a connection whose server isn't there.
func (c *counted) refused(from *rig.Pod, address string) {
	c.t.Helper()
	conn, err := from.Dial(address)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// It says nothing: whether that would be counted, or come too late, is a matter of chance.
	_ = conn.SetDeadline(time.Now().Add(eventually))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Error("it stays open")
	}
}

// check asks a service of gRPC that doesn't know what is asked.
func (c *counted) check(address string) {
	c.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(_ context.Context, address string) (net.Conn, error) { return c.caller.Dial(address) }))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err = healthv1.NewHealthClient(conn).Check(c.t.Context(), &healthv1.HealthCheckRequest{Service: "none"}); grpcstatus.Code(err) != codes.NotFound {
		c.t.Error(err)
	}
}

// push west with Telemetries.
func (c *counted) push(telemetries string) {
	c.t.Helper()
	objects := built(c.t, []byte(telemetries), nil)
	for _, p := range objects.Problems {
		c.t.Errorf("%+v", p)
	}
	m := *c.mesh
	m.Telemetries = objects.Telemetries
	c.west = snapshot.Build(&m, c.west)
	for _, p := range []*rig.Proxy{c.client, c.cart, c.ingress} {
		p.Push(c.west)
	}
	for _, p := range []*rig.Proxy{c.client, c.cart, c.ingress} {
		drained(c.t, p)
	}
}

// drained is a proxy whose older listeners, and chains of them, have no connections left.
func drained(t *testing.T, p *rig.Proxy) {
	t.Helper()
	until(t, "no older listener takes a call", func() bool {
		return p.Stat("listener_manager.total_listeners_draining")+p.Stat("listener_manager.total_filter_chains_draining") == 0
	})
}

// What series say of both ends of a call, and of what was called.
const (
	fromClient  = "peer=client-v1|shop|client|v1|client|v1|west peer_principal=spiffe://west.example/ns/shop/sa/client"
	fromIngress = "peer=gateway-v1|edge|gateway|v1|gateway|v1|west peer_principal=spiffe://west.example/ns/edge/sa/gateway"
	atClient    = "self_principal=spiffe://west.example/ns/shop/sa/client"
	atCart      = "self_principal=spiffe://west.example/ns/shop/sa/cart"
	withCart    = "peer=cart-v1|shop|cart|v1|cart|v1|west peer_principal=spiffe://west.example/ns/shop/sa/cart"
	withReviews = "peer=reviews-v1|shop|reviews|v1|reviews|v1|east peer_principal=spiffe://east.example/ns/shop/sa/reviews"
	ofCart      = "service=cart.shop.svc.cluster.local|cart|shop"
	ofReviews   = "service=reviews.shop.svc.cluster.local|reviews|shop"
	sent        = "connection_security_policy=unknown"
	taken       = "connection_security_policy=mutual_tls"
	bySource    = "reporter=source request_protocol=http"
	byServer    = "reporter=destination request_protocol=http"
	gRPC        = " grpc_response_status=5"
	tcpSource   = "reporter=source request_protocol=tcp"
	tcpServer   = "reporter=destination request_protocol=tcp"
)

// TestStandardMetrics: what proxies count of calls inside a member, into another one and
// from outside: who was at the other end, what was called, and how it went.
func TestStandardMetrics(t *testing.T) {
	c := newCounted(t)
	const cart = "10.96.0.7"
	c.call(c.caller, cart+":80", "cart.shop", "/", 200)
	c.call(c.caller, cart+":80", "cart.shop", "/secret", 403)
	c.call(c.caller, cart+":80", "cart.shop", "/broken", 418)
	c.call(c.caller, "240.240.0.7:80", "reviews.shop", "/", 200)
	c.call(c.caller, "10.244.9.9:80", "example.com", "/", 503)
	c.call(c.outside, "10.244.1.9:8080", "web", "/", 200)
	c.call(c.outside, "10.244.1.2:8080", "chosen-by-a-stranger", "/", 200)
	c.check(cart + ":90")
	converse(t, c.caller, cart+":70", "cart-1")
	c.refused(c.caller, cart+":71")

	grpcBy := func(of string) string { return strings.Replace(of, "=http", "=grpc", 1) }
	requests := []string{
		sent + " " + withCart + " " + bySource + " response_code=200 response_flags=- " + atClient + " " + ofCart,
		sent + " " + withCart + " " + bySource + " response_code=403 response_flags=- " + atClient + " " + ofCart,
		sent + " " + bySource + " response_code=418 response_flags=FI " + ofCart,
		sent + " " + withReviews + " " + bySource + " response_code=200 response_flags=- " + atClient + " " + ofReviews,
		sent + " " + bySource + " response_code=503 response_flags=UF service=example.com|PassthroughCluster|",
		sent + gRPC + " " + withCart + " " + grpcBy(bySource) + " response_code=200 response_flags=- " + atClient + " " + ofCart,
	}
	served := []string{
		taken + " " + fromClient + " " + byServer + " response_code=200 response_flags=- " + atCart + " " + ofCart,
		taken + " " + fromClient + " " + byServer + " response_code=403 response_flags=- " + atCart + " " + ofCart,
		taken + gRPC + " " + fromClient + " " + grpcBy(byServer) + " response_code=200 response_flags=- " + atCart + " " + ofCart,
		taken + " " + fromIngress + " " + byServer + " response_code=200 response_flags=- " + atCart + " " + ofCart,
		"connection_security_policy=none " + byServer + " response_code=200 response_flags=- " + ofCart,
	}
	once := func(series []string) []string {
		var out []string
		for _, s := range series {
			out = append(out, s+" 1")
		}
		return out
	}
	for _, metric := range []string{"istio_requests_total", "istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes"} {
		c.counts(c.client, metric, once(requests)...)
		c.counts(c.cart, metric, once(served)...)
	}
	c.counts(c.ingress, "istio_requests_total",
		sent+" "+withCart+" "+bySource+" response_code=200 response_flags=- self_principal=spiffe://west.example/ns/edge/sa/gateway "+ofCart+" 1")
	c.counts(c.reviews, "istio_requests_total",
		taken+" "+fromClient+" "+byServer+" response_code=200 response_flags=- self_principal=spiffe://east.example/ns/shop/sa/reviews "+ofReviews+" 1")

	client := sent + " " + withCart + " " + tcpSource + " response_flags=- " + atClient + " " + ofCart
	server := taken + " " + fromClient + " " + tcpServer + " response_flags=- " + atCart + " " + ofCart
	nobody := taken + " " + fromClient + " " + tcpServer + " response_flags=UF,URX " + atCart + " " + ofCart
	for _, metric := range []string{"istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total"} {
		c.counts(c.client, metric, client+" 2")
		c.counts(c.cart, metric, server+" 1", nobody+" 1")
	}
	c.counts(c.client, "istio_tcp_sent_bytes_total", client+" 18")
	c.counts(c.client, "istio_tcp_received_bytes_total", client+" 6")
	c.counts(c.cart, "istio_tcp_sent_bytes_total", server+" 18", nobody+" 0")
	// The gateway between networks sees neither who talks nor what is said.
	c.counts(c.passing, "istio_tcp_connections_opened_total", sent+" "+tcpSource+" response_flags=- "+ofReviews+" 1")
}

// TestMetricsOfTelemetries: Telemetries take metrics away and change their tags, and
// what was counted before by those that stay does, too.
func TestMetricsOfTelemetries(t *testing.T) {
	c := newCounted(t)
	const served = taken + " " + fromClient + " %s" + byServer + "%s response_code=200%s " + atCart + " " + ofCart
	before := fmt.Sprintf(served, "", "", " response_flags=-")
	calls := func() {
		c.call(c.caller, "10.96.0.7:80", "cart.shop", "/", 200)
		c.call(c.outside, "10.244.1.9:8080", "web", "/", 200)
	}
	calls()
	ingress := fmt.Sprintf("%s %s %s response_code=200 response_flags=- self_principal=spiffe://west.example/ns/edge/sa/gateway %s", sent, withCart, bySource, ofCart)
	c.counts(c.ingress, "istio_requests_total", ingress+" 1")
	c.push(telemetryOf("edge", "none", "metrics: [{overrides: [{disabled: true}]}]") +
		telemetryOf("shop", "cart", `selector: {matchLabels: {app: cart}}, metrics: [{overrides: [
{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true}, {match: {metric: TCP_SENT_BYTES}, disabled: true},
{match: {metric: REQUEST_COUNT}, tagOverrides: {response_flags: {operation: REMOVE}, request_host: {value: request.host}, destination_port: {value: string(destination.port)}}}]}]`))
	calls()
	converse(t, c.caller, "10.96.0.7:70", "cart-1")
	after := fmt.Sprintf(served, "", " request_host=cart.shop", "")
	from := strings.NewReplacer(fromClient, fromIngress)
	changed := func(s, host string) string {
		return strings.Replace(strings.Replace(s, taken+" ", taken+" destination_port=8080 ", 1), "cart.shop ", host+" ", 1) + " 1"
	}
	c.counts(c.cart, "istio_requests_total", before+" 1", from.Replace(before)+" 1", changed(after, "cart.shop"), changed(from.Replace(after), "web"))
	c.counts(c.cart, "istio_tcp_connections_closed_total", taken+" "+fromClient+" "+tcpServer+" response_flags=- "+atCart+" "+ofCart+" 1")
	c.counts(c.cart, "istio_tcp_sent_bytes_total")
	c.counts(c.ingress, "istio_requests_total") // where nothing is counted there is nothing left
}
