// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// TestSilentConnection opens a connection, as clients' pools do in advance, and
// only asks something when inspectors would have given up elsewhere: it is asked
// of the service still, over mutual TLS, and doesn't leave the mesh.
func TestSilentConnection(t *testing.T) {
	root := rig.NewRoot(t)
	fabric := rig.New(t)
	server, caller := fabric.Pod("shop", "reviews", "10.244.0.20"), fabric.Pod("shop", "client-1", "10.244.0.10")
	s := snapshot.Build(mesh(t, `
		member west network=n1 trust=west.example
		service shop/reviews vip=10.96.0.7 port=80/HTTP id=shop/reviews
		endpoint shop/reviews:80 10.244.0.20:8080
		workload shop/reviews 10.244.0.20 sa=reviews in=8080/HTTP
		workload shop/client-1 10.244.0.10 sa=client
		`), nil)
	for pod, account := range map[*rig.Pod]string{server: "reviews", caller: "client"} {
		id := "spiffe://west.example/ns/shop/sa/" + account
		leaf := root.Leaf(id)
		pod.Envoy(rig.Options{Type: "sidecar", Identity: id, Leaf: &leaf, Redirect: true}).Push(s)
	}
	web := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Caller", r.Header.Get("X-Forwarded-Client-Cert"))
	})}
	l := server.Listen("0.0.0.0:8080")
	go func() { _ = web.Serve(l) }()
	t.Cleanup(func() { _ = web.Close() })

	conn, err := caller.Dial("10.96.0.7:80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-time.After(envoy.SniffTimeout + time.Second)
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: reviews\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if by := answer.Header.Get("X-Caller"); answer.StatusCode != http.StatusOK || !strings.Contains(by, "spiffe://west.example/ns/shop/sa/client") {
		t.Errorf("%s, and the server was called by %q", answer.Status, by)
	}
}
