// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// TestLocalhost: an application that listens at 127.0.0.1 alone is reached where
// MeshConfig's inboundTrafficPolicy says LOCALHOST, and nowhere else.
func TestLocalhost(t *testing.T) {
	m := mesh(t, "member west network=n1 trust=west.example\nworkload shop/web-1 10.244.0.20 sa=web in=8080/HTTP\n")
	root, fabric := rig.NewRoot(t), rig.New(t)
	web, caller := fabric.Pod("shop", "web-1", "10.244.0.20"), fabric.Pod("shop", "client", "10.244.0.10")
	leaf := root.Leaf("spiffe://west.example/ns/shop/sa/web")
	proxy := web.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://west.example/ns/shop/sa/web", Leaf: &leaf, Redirect: true})
	l := web.Listen("127.0.0.1:8080")
	server := &http.Server{ReadHeaderTimeout: eventually, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here")) })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	for _, c := range []struct {
		local  bool
		status int
		body   string
	}{{false, 503, ""}, {true, 200, "here"}} {
		settings := *m.Settings
		settings.InboundLocalhost = c.local
		is := *m
		is.Settings = &settings
		proxy.Push(snapshot.Build(&is, nil))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://10.244.0.20:8080/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Close = true
		if resp, body := do(t, client(caller), r); resp.StatusCode != c.status || !strings.Contains(body, c.body) {
			t.Errorf("local %v: %s %q", c.local, resp.Status, body)
		}
	}
}
