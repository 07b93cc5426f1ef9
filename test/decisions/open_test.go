// SPDX-License-Identifier: Apache-2.0

package decisions_test

import (
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

// TestOpenConnections: a policy ends what was open before it, too. A connection
// that was open takes requests for a moment, until its proxy has said that it ends.
func TestOpenConnections(t *testing.T) {
	w := newShop(t)
	for _, protocol := range []string{"HTTP1", "HTTP2"} {
		for _, idle := range []time.Duration{0, 2 * time.Second} {
			t.Run(protocol+idle.String(), func(t *testing.T) {
				w.apply(t, "[]", "")
				leaf := w.leaves["storefront"]
				alpn := map[string]string{"HTTP1": envoy.ALPNHTTP1, "HTTP2": envoy.ALPNHTTP2}[protocol]
				dials := 0
				dial := func() (net.Conn, error) {
					dials++
					conn, err := w.client.Dial("10.244.0.20:8080")
					if err != nil {
						return nil, err
					}
					return tls.Client(conn, leaf.TLS(t, "outbound_.8080_._.server.shop.svc.cluster.local", alpn)), nil
				}
				var transport http.RoundTripper = &http.Transport{MaxIdleConns: 1, DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }}
				scheme := "http"
				if protocol == "HTTP2" {
					scheme = "https"
					transport = &http2.Transport{DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) { return dial() }}
				}
				call := func() (int, error) {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://server.shop/", nil)
					if err != nil {
						t.Fatal(err)
					}
					reply, err := transport.RoundTrip(r)
					if err != nil {
						return 0, err
					}
					_, _ = io.Copy(io.Discard, reply.Body)
					return reply.StatusCode, reply.Body.Close()
				}
				for range 3 {
					if status, err := call(); status != 200 {
						t.Fatal(status, err)
					}
				}
				w.apply(t, "[]", denyAll)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				<-time.After(idle)
				began, let := time.Now(), 0
				for status, err := call(); status != 403; status, err = call() {
					let++
					if status != 200 {
						t.Log(status, err)
					}
					<-tick.C
					if time.Since(began) > patience {
						t.Fatal("still")
					}
				}
				t.Logf("%d requests in %s; %d dials", let, time.Since(began), dials)
			})
		}
	}
}
