// SPDX-License-Identifier: Apache-2.0

package decisions_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

const denyAll = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {action: DENY, rules: [{}]}
`

// onlyPath allows requests of one path.
func onlyPath(path string) string {
	return `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only, namespace: shop}
spec: {action: ALLOW, rules: [{to: [{operation: {paths: ["` + path + `"]}}]}]}
`
}

// TestOpenConnections: the next request of an open connection is judged by the
// policies of now, and the connection stays: the first policy, another one of its
// name, one of another action and none again.
func TestOpenConnections(t *testing.T) {
	w := newShop(t)
	for name, alpn := range map[string]string{"HTTP1": envoy.ALPNHTTP1, "HTTP2": envoy.ALPNHTTP2} {
		t.Run(name, func(t *testing.T) {
			w.apply(t, "[]", "")
			dials := 0
			call := w.kept(t, alpn, &dials)
			for _, step := range []struct {
				name, policies string
				want           int
			}{
				{"None", "", 200},
				{"First", denyAll, 403},
				{"Last", "", 200},
				{"OtherAction", onlyPath("/other"), 403},
				{"Changed", onlyPath("/"), 200},
				{"Two", onlyPath("/") + "---" + denyAll, 403},
				{"OneOfTwo", onlyPath("/"), 200},
				{"NoneAgain", "", 200},
			} {
				w.apply(t, "[]", step.policies)
				for range 2 {
					if status, err := call(); err != nil || status != step.want {
						t.Errorf("%s: %d %v, want %d", step.name, status, err, step.want)
					}
				}
			}
			if dials != 1 {
				t.Errorf("%d connections", dials)
			}
		})
	}
}

// TestRulesOfRequestsChangeNoListener: rules about requests that change reach the
// proxy without a change of its listeners, so nobody's connection is drained.
func TestRulesOfRequestsChangeNoListener(t *testing.T) {
	w := newShop(t)
	w.apply(t, "[]", onlyPath("/a"))
	was := w.listeners()
	for _, path := range []string{"/b", "/c", "/"} {
		w.apply(t, "[]", onlyPath(path))
		want := 403
		if path == "/" {
			want = 200
		}
		if got := w.call(t, order{as: "storefront", path: "/"}); got.status != want {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if is := w.listeners(); is != was {
		t.Errorf("listeners and chains that changed or drain: %v before, %v after", was, is)
	}
}

// listeners that were changed, and filter chains that are drained.
func (w *shop) listeners() [3]int {
	return [3]int{
		w.proxy.Stat("listener_manager.listener_modified"), w.proxy.Stat("listener_manager.listener_in_place_updated"),
		w.proxy.Stat("listener_manager.total_filter_chains_draining"),
	}
}

// TestOpenTCP: an open connection goes on under the rules that it began with, until
// it is drained; other rules of connections do that to it, rules of requests don't.
func TestOpenTCP(t *testing.T) {
	w := newShop(t)
	byPort := func(port, path string) string {
		return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: port, namespace: shop}\n" +
			"spec: {action: DENY, rules: [{to: [{operation: {ports: [\"" + port + "\"], paths: [" + path + "]}}]}]}\n"
	}
	w.apply(t, "[]", byPort("7071", "/x"))
	conn, err := w.client.Dial("10.244.0.20:7070")
	if err != nil {
		t.Fatal(err)
	}
	leaf := w.leaves["storefront"]
	secured := tls.Client(conn, leaf.TLS(t, "outbound_.7070_._.server.shop.svc.cluster.local", envoy.ALPNTCP))
	defer func() { _ = secured.Close() }()
	_ = secured.SetDeadline(time.Now().Add(2 * patience))
	lines := bufio.NewReader(secured)
	echo := func(when string) {
		t.Helper()
		_, _ = io.WriteString(secured, when+"\n")
		if line, err := lines.ReadString('\n'); line != when+"\n" {
			t.Errorf("%s: %q %v", when, line, err)
		}
	}
	echo("open")
	// What of a policy is about requests says nothing of connections.
	open := w.listeners()
	w.apply(t, "[]", byPort("7071", "/y"))
	if is := w.listeners(); is != open {
		t.Errorf("listeners and chains that changed or drain: %v before, %v after", open, is)
	}
	w.apply(t, "[]", byPort("7070", "/y"))
	if w.converse(t, "storefront") {
		t.Error("a new connection is let in")
	}
	echo("after the policy")
	if drained := w.listeners(); drained[2] == 0 {
		t.Errorf("the connection isn't drained: %v", drained)
	}
}

// kept is a caller that keeps its connection as long as the server does.
func (w *shop) kept(t *testing.T, alpn string, dials *int) func() (int, error) {
	leaf := w.leaves["storefront"]
	dial := func() (net.Conn, error) {
		*dials++
		conn, err := w.client.Dial("10.244.0.20:8080")
		if err != nil {
			return nil, err
		}
		return tls.Client(conn, leaf.TLS(t, "outbound_.8080_._.server.shop.svc.cluster.local", alpn)), nil
	}
	scheme := "http"
	var transport http.RoundTripper = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }}
	if alpn == envoy.ALPNHTTP2 {
		scheme = "https"
		//nolint:staticcheck // http.Transport knows no name of HTTP/2 but h2
		transport = &http2.Transport{DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) { return dial() }}
	}
	return func() (int, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://server.shop/", nil)
		if err != nil {
			return 0, err
		}
		reply, err := transport.RoundTrip(r)
		if err != nil {
			return 0, err
		}
		defer func() { _ = reply.Body.Close() }()
		_, err = io.Copy(io.Discard, reply.Body)
		return reply.StatusCode, err
	}
}
