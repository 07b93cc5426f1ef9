// SPDX-License-Identifier: Apache-2.0

package decisions_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// shop is a workload behind a real Envoy that has what the whole pipeline makes
// of Kubernetes objects, and an authorizer's pod beside it.
type shop struct {
	t        *testing.T
	proxy    *rig.Proxy
	client   *rig.Pod
	opa      *rig.Pod
	leaves   map[string]rig.Leaf
	log      string
	result   *ingest.Result
	snapshot *snapshot.Snapshot
}

// patience with one call; an answer, or a closed connection, comes long before.
const patience = time.Minute

const shopObjects = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    trustDomain: east.example
    accessLogFile: %s
    extensionProviders: %s
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: shop, labels: {app: server}}
spec: {serviceAccountName: server, containers: [{name: istio-proxy}]}
status: {phase: Running, podIPs: [{ip: 10.244.0.20}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec: {clusterIP: 10.96.0.20, selector: {app: server}, ports: [{name: http, port: 8080}, {name: tcp, port: 7070}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: server, namespace: shop, labels: {kubernetes.io/service-name: server}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: tcp, port: 7070}]
endpoints: [{addresses: [10.244.0.20], conditions: {ready: true}, targetRef: {kind: Pod, name: server, namespace: shop}}]
---
apiVersion: v1
kind: Service
metadata: {name: opa, namespace: opa}
spec:
  clusterIP: 10.96.0.30
  ports: [{name: grpc, port: 9191}, {name: http, port: 9192}, {name: grpc-probe, port: 9291}, {name: http-probe, port: 9292}, {name: grpc-mute, port: 9000}, {name: http-mute, port: 9001}, {name: grpc-gone, port: 9999}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: opa, namespace: opa, labels: {kubernetes.io/service-name: opa}}
addressType: IPv4
ports: [{name: grpc, port: 9191}, {name: http, port: 9192}, {name: grpc-probe, port: 9291}, {name: http-probe, port: 9292}, {name: grpc-mute, port: 9000}, {name: http-mute, port: 9001}, {name: grpc-gone, port: 9999}]
endpoints: [{addresses: [10.244.0.30], conditions: {ready: true}}]
`

func newShop(t *testing.T) *shop {
	t.Helper()
	fabric, root := rig.New(t), rig.NewRoot(t)
	w := &shop{t: t, leaves: map[string]rig.Leaf{}}
	server := fabric.Pod("shop", "server", "10.244.0.20")
	w.client, w.opa = fabric.Pod("shop", "client", "10.244.0.10"), fabric.Pod("opa", "opa", "10.244.0.30")
	for _, account := range []string{"storefront", "robot"} {
		w.leaves[account] = root.Leaf("spiffe://east.example/ns/shop/sa/" + account)
	}
	// Envoy writes it as another user.
	dir, err := os.MkdirTemp("", "shop")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w.log = filepath.Join(dir, "access.log")
	identity := "spiffe://east.example/ns/shop/sa/server"
	leaf := root.Leaf(identity)
	w.proxy = server.Envoy(rig.Options{Type: "sidecar", Identity: identity, Leaf: &leaf, Redirect: true, Drain: 45 * time.Second, Labels: map[string]string{"app": "server"}})
	serveHTTP(server.Listen("0.0.0.0:8080"))
	serveEcho(server.Listen("0.0.0.0:7070"))
	return w
}

// apply providers and policies as users write them, and wait until the proxy has
// what the pipeline makes of them.
func (w *shop) apply(t *testing.T, providers, policies string) []model.Problem {
	t.Helper()
	w.build(t, providers, policies)
	if err := w.proxy.Try(w.snapshot); err != nil {
		t.Fatal(err)
	}
	return w.result.Mesh.Problems
}

// build what the pipeline makes of providers and policies.
func (w *shop) build(t *testing.T, providers, policies string) {
	t.Helper()
	read, err := manifest.Read([]byte(fmt.Sprintf(shopObjects, w.log, providers) + "---\n" + policies))
	if err != nil {
		t.Fatal(err)
	}
	read.Settings = model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "east.example"}
	w.result = ingest.Build(read.Input, w.result)
	w.snapshot = snapshot.Build(w.result.Mesh, w.snapshot)
}

// order is a call of the shop.
type order struct {
	// As is the caller's service account; empty for a call in plaintext.
	as, method, path, body string
	headers                http.Header
}

// answer to it.
type answer struct {
	status  int
	body    string
	headers http.Header
}

func (w *shop) call(t *testing.T, o order) answer {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		conn, err := w.client.Dial("10.244.0.20:8080")
		if err != nil || o.as == "" {
			return conn, err
		}
		leaf := w.leaves[o.as]
		return tls.Client(conn, leaf.TLS(t, "outbound_.8080_._.server.shop.svc.cluster.local", envoy.ALPNHTTP1)), nil
	}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if o.method == "" {
		o.method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, o.method, "http://server.shop"+o.path, strings.NewReader(o.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range o.headers {
		r.Header[name] = values
	}
	if o.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	reply, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: reply.StatusCode, body: string(body), headers: reply.Header}
}

// converse over TCP; false when the connection is closed.
func (w *shop) converse(t *testing.T, as string) bool {
	t.Helper()
	conn, err := w.client.Dial("10.244.0.20:7070")
	if err != nil {
		t.Fatal(err)
	}
	if as != "" {
		leaf := w.leaves[as]
		conn = tls.Client(conn, leaf.TLS(t, "outbound_.7070_._.server.shop.svc.cluster.local", envoy.ALPNTCP))
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "ping\n")
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line == "ping\n"
}

// serveHTTP answers with the request's headers.
func serveHTTP(l net.Listener) {
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = r.Header.Write(rw)
	})}
	go func() { _ = s.Serve(l) }()
}

func serveEcho(l net.Listener) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}
