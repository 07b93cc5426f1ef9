// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// TestUnreachedApplication has two pods behind a service, one of whose
// applications has gone while its sidecar still takes calls, as in every pod
// that ends. No call may fail for that, whatever its method, and no
// application can make its callers' sidecars repeat a call.
func TestUnreachedApplication(t *testing.T) {
	root := rig.NewRoot(t)
	fabric := rig.New(t)
	alive, ending, caller := fabric.Pod("shop", "alive", "10.244.0.20"), fabric.Pod("shop", "ending", "10.244.0.21"), fabric.Pod("shop", "client-1", "10.244.0.10")
	s := snapshot.Build(mesh(t, `
		member west network=n1 trust=west.example
		service shop/reviews vip=10.96.0.7 port=80/HTTP id=shop/reviews
		endpoint shop/reviews:80 10.244.0.20:8080
		endpoint shop/reviews:80 10.244.0.21:8080
		workload shop/alive 10.244.0.20 sa=reviews in=8080/HTTP
		workload shop/ending 10.244.0.21 sa=reviews in=8080/HTTP
		workload shop/client-1 10.244.0.10 sa=client
		`), nil)
	for pod, account := range map[*rig.Pod]string{alive: "reviews", ending: "reviews", caller: "client"} {
		id := "spiffe://west.example/ns/shop/sa/" + account
		leaf := root.Leaf(id)
		pod.Envoy(rig.Options{Type: "sidecar", Identity: id, Leaf: &leaf, Redirect: true}).Push(s)
	}
	var handled atomic.Int64
	l := alive.Listen("0.0.0.0:8080")
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		handled.Add(1)
		w.Header().Set("X-Isthmesh-Unreached", "1") // said by an application, it means nothing
		_, _ = fmt.Fprintln(w, "here")
	})}
	go func() { _ = server.Serve(l) }()

	post := func() (*http.Response, error) {
		r, err := http.NewRequest(http.MethodPost, "http://10.96.0.7/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "reviews"
		return client(caller).Do(r)
	}
	const calls = 60
	for i := range calls {
		resp, err := post()
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("call %d: %s", i, resp.Status)
		}
		if h := resp.Header.Get("X-Isthmesh-Unreached"); h != "" {
			t.Fatalf("call %d: the caller sees the header: %q", i, h)
		}
	}
	if n := handled.Load(); n != calls {
		t.Errorf("the application handled %d calls, want each of %d once", n, calls)
	}

	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	resp, err := post()
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("X-Isthmesh-Unreached") != "" {
		t.Errorf("nobody there: %s, header %v", resp.Status, resp.Header)
	}
}
