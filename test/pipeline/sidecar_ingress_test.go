// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

const ingressListeners = `
member west network=n1 trust=west.example
workload shop/web-1 10.244.0.20 sa=web in=8080/HTTP port-mtls=8443/Disable
workload shop/web-2 10.244.0.21 sa=web in=8080/HTTP
`

// TestSidecarIngress calls the ingress listeners of a Sidecar: one pod whose
// traffic is redirected, and one where only what is bound is there.
func TestSidecarIngress(t *testing.T) {
	m := mesh(t, ingressListeners)
	m.Settings.DetectionMillis = 2000 // a server speaks first to a caller without a sidecar
	root := rig.NewRoot(t)
	fabric := rig.New(t)
	dir := openDir(t)
	socket, cert, key := filepath.Join(dir, "app.sock"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	chain, private := root.Server("web.example")
	for name, b := range map[string][]byte{cert: chain, key: private} {
		if err := os.WriteFile(name, b, 0o644); err != nil { //nolint:gosec // Envoy runs as another user
			t.Fatal(err)
		}
	}
	one := model.ConnectionPool{MaxConnections: 100}
	m.Scopes = []*model.Scope{{
		Origin: model.Origin{Kind: "Sidecar", Namespace: "shop", Name: "default"}, Inbound: &one,
		Ingress: []model.Ingress{
			{Port: 9080, Protocol: model.HTTP, Endpoint: "127.0.0.1:8080"},
			{Port: 9090, Protocol: model.TCP, Endpoint: "0.0.0.0:7070"},
			{Port: 9091, Protocol: model.HTTP, Endpoint: "unix://" + socket},
			{Port: 8443, Protocol: model.HTTP, Endpoint: "127.0.0.1:8080", TLS: &model.ListenerTLS{CertificateFile: cert, KeyFile: key}},
			{Port: 9999, Protocol: model.HTTP, NoCapture: true, Endpoint: "127.0.0.1:8080"},
		},
	}}
	first, second, outside := fabric.Pod("shop", "web-1", "10.244.0.20"), fabric.Pod("shop", "web-2", "10.244.0.21"), fabric.Pod("out", "client-1", "10.244.0.30")
	leaf := root.Leaf("spiffe://west.example/ns/shop/sa/web")
	s := snapshot.Build(m, nil)
	for _, p := range []*rig.Pod{first, second} {
		p.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://west.example/ns/shop/sa/web", Leaf: &leaf, Redirect: p == first}).Push(s)
		echo(p, 8080)
		greet(p, 7070)
	}
	serveSocket(t, socket)

	c := client(outside)
	for name, test := range map[string]struct{ address, body string }{
		"Loopback":         {"10.244.0.20:9080", "pod=web-1"},
		"UnixSocket":       {"10.244.0.20:9091", "by socket"},
		"BoundAndCaptured": {"10.244.0.20:9999", "pod=web-1"},
		"Bound":            {"10.244.0.21:9999", "pod=web-2"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := get(t, c, test.address, "web.example"); status != 200 || !strings.Contains(body, test.body) || strings.Contains(body, "forged") {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	t.Run("OwnAddress", func(t *testing.T) { converse(t, outside, "10.244.0.20:9090", "web-1") })
	t.Run("OwnTLS", func(t *testing.T) {
		body, err := overTLS(t, outside, "10.244.0.20:8443", &tls.Config{RootCAs: root.Pool(), ServerName: "web.example"}) //nolint:gosec // the server's limits count
		if err != nil || !strings.Contains(body, "pod=web-1") {
			t.Errorf("%v %s", err, body)
		}
	})
	t.Run("OwnTLSOnly", func(t *testing.T) {
		if status, body := get(t, c, "10.244.0.20:8443", "web.example"); status != 0 {
			t.Errorf("%d %s", status, body)
		}
	})
}

// openDir is a directory that everybody may look into.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ingress") //nolint:usetesting // t.TempDir is closed to the user that Envoy runs as
	if err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o755) //nolint:gosec // Envoy runs as another user
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// serveSocket answers on a Unix socket that everybody may call.
func serveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err == nil {
		err = os.Chmod(path, 0o777) //nolint:gosec // Envoy runs as another user
	}
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "by socket")
	})}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
}
