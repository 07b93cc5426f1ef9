// SPDX-License-Identifier: Apache-2.0

package decisions_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"

	"golang.org/x/net/http2"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

const denyAll = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {action: DENY, rules: [{}]}
`

// TestOpenConnections: a policy holds for what is open, too. A connection that was
// open takes one request more, whose answer ends it.
func TestOpenConnections(t *testing.T) {
	w := newShop(t)
	for name, alpn := range map[string]string{"HTTP1": envoy.ALPNHTTP1, "HTTP2": envoy.ALPNHTTP2} {
		t.Run(name, func(t *testing.T) {
			w.apply(t, "[]", "")
			dials := 0
			call := w.kept(t, alpn, &dials)
			for range 3 {
				if status, err := call(); status != 200 {
					t.Fatal(status, err)
				}
			}
			w.apply(t, "[]", denyAll)
			var statuses []int
			for range 4 {
				status, err := call()
				if err != nil {
					t.Fatal(err)
				}
				statuses = append(statuses, status)
			}
			if statuses[0] != 403 {
				statuses = statuses[1:]
			}
			if slices.Contains(statuses, 200) || dials > 2 {
				t.Errorf("after the policy: %v, over %d connections", statuses, dials)
			}
		})
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
