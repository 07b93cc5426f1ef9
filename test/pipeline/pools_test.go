// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestConnectionPools: what a DestinationRule says of connections.
func TestConnectionPools(t *testing.T) {
	y := newYard(t, "a")
	const at = "10.244.1.1:8080"
	greet(y.pods["a"].pod, 7070)
	var lines, objects strings.Builder
	number := 0
	add := func(name, port, endpoint, pool string) {
		number++
		lines.WriteString(service(name, number, port, endpoint))
		if pool != "" {
			objects.WriteString(rule(name, "{connectionPool: "+pool+"}"))
		}
	}
	add("one", "80/HTTP", at, "{tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}")
	add("two", "80/HTTP2", at, "{http: {http2MaxRequests: 2}}")
	add("streams", "80/HTTP2", at, "{http: {maxConcurrentStreams: 2}}")
	add("retries", "80/HTTP", at, "{http: {maxRetries: 1}}")
	add("idle", "80/HTTP", at, "{http: {idleTimeout: 0.5s}}")
	add("turns", "80/HTTP", at, "{http: {maxRequestsPerConnection: 2}}")
	add("aging", "80/HTTP", at, "{tcp: {maxConnectionDuration: 0.5s}}")
	add("unreached", "80/HTTP", "10.244.77.77:8080", "{tcp: {connectTimeout: 0.2s}}")
	add("bytes", "7070/TCP", "10.244.1.1:7070", "{tcp: {idleTimeout: 1s}}")
	add("brief", "7070/TCP", "10.244.1.1:7070", "{tcp: {maxConnectionDuration: 1s}}")
	add("plain", "80/HTTP", at, "")
	add("upgraded", "80/HTTP", at, "{http: {h2UpgradePolicy: UPGRADE}}")
	add("same", "80/HTTP", at, "{http: {useClientProtocol: true}}")
	// Requests that are routed to a port of another protocol, and settings of HTTP on one of bytes.
	add("encrypted", "443/TLS", at, "{http: {maxRequestsPerConnection: 2, useClientProtocol: true}}")
	add("odd", "7070/TCP", "10.244.1.1:7070", "{tcp: {maxConnectionDuration: 1s}, http: {idleTimeout: 0.1s, h2UpgradePolicy: UPGRADE, maxRequestsPerConnection: 1, maxConcurrentStreams: 1, http2KeepAlive: {interval: 0.1s, timeout: 0.1s}}}")
	add("patient", "80/HTTP", at, "{tcp: {idleTimeout: 0.5s}}")
	add("front", "80/HTTP", at, "")
	add("few", "7070/TCP", "10.244.1.1:7070", "{tcp: {maxConnections: 2}}")
	objects.WriteString("---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: front, namespace: shop}\n" +
		"spec: {hosts: [front], http: [{route: [{destination: {host: encrypted, port: {number: 443}}}]}]}\n")
	objects.WriteString(routed("retries", "retries: {attempts: 3, retryOn: gateway-error}"))
	objects.WriteString(routed("unreached", "retries: {attempts: 0}"))
	y.push(lines.String(), objects.String())
	a := y.pods["a"]

	// together sends six requests, of which two are to be taken. They come over one
	// connection, so that one of the sidecar's threads has them all.
	together := func(t *testing.T, service string) {
		t.Helper()
		c := clientHTTP2(y.caller)
		if first := y.call(c, service); first.status != 200 {
			t.Errorf("%d %s", first.status, first.body)
		}
		do, release := held()
		defer release()
		a.answers(do)
		defer a.answers(nil)
		var refused, answered atomic.Int64
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				switch r := y.call(c, service); {
				case r.status == 503 && r.header.Get("X-Envoy-Overloaded") == "true":
					refused.Add(1)
				case r.status == 200:
					answered.Add(1)
				default:
					t.Errorf("%d %v %s", r.status, r.header, r.body)
				}
			})
		}
		until(t, "four of six are refused", func() bool { return refused.Load() == 4 })
		release()
		wg.Wait()
		if refused.Load() != 4 || answered.Load() != 2 {
			t.Errorf("%d refused, %d answered", refused.Load(), answered.Load())
		}
	}
	// One is answered, and one waits.
	t.Run("MaxConnectionsAndPending", func(t *testing.T) { together(t, "one") })
	t.Run("MaxRequests", func(t *testing.T) { together(t, "two") })
	t.Run("MaxConcurrentStreams", func(t *testing.T) {
		do, release := held()
		c := clientHTTP2(y.caller)
		y.call(c, "streams") // what comes together then is all on one connection, and thread
		a.answers(do)
		defer a.answers(nil)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() { y.call(c, "streams") })
		}
		until(t, "six requests take three connections", func() bool { return y.stat("streams", "upstream_cx_active") == 3 })
		release()
		wg.Wait()
	})
	t.Run("MaxRetries", func(t *testing.T) {
		// All fail together, and what is tried again waits.
		const callers = 8
		first, fail := held()
		again, end := held()
		defer end()
		defer fail()
		var asked atomic.Int64
		a.answers(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) <= callers {
				first(w, r)
			} else {
				again(w, r)
			}
			w.WriteHeader(502)
		})
		defer a.answers(nil)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() { y.call(client(y.caller), "retries") })
		}
		until(t, "all have come", func() bool { return asked.Load() == callers })
		fail()
		until(t, "retries are limited", func() bool { return y.stat("retries", "upstream_rq_retry_overflow") > 0 })
		end()
		wg.Wait()
		if n := y.stat("retries", "upstream_rq_retry"); n == 0 {
			t.Error("nothing is tried again")
		}
	})
	t.Run("IdleTimeout", func(t *testing.T) {
		y.get("idle")
		until(t, "the connection is closed", func() bool {
			return y.stat("idle", "upstream_cx_idle_timeout") > 0 && y.stat("idle", "upstream_cx_active") == 0
		})
	})
	t.Run("MaxRequestsPerConnection", func(t *testing.T) {
		before := a.connections.Load()
		for range 10 {
			y.get("turns")
		}
		if n := a.connections.Load() - before; n != 5 {
			t.Errorf("10 requests took %d connections, want 5", n)
		}
	})
	t.Run("RequestsRoutedToTLS", func(t *testing.T) {
		before := a.connections.Load()
		for range 10 {
			if r := y.get("front"); r.status != 200 {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		if n := a.connections.Load() - before; n != 5 {
			t.Errorf("10 requests took %d connections, want 5", n)
		}
		if r := y.call(clientHTTP2(y.caller), "front"); r.header.Get("X-Protocol") != "HTTP/2.0" {
			t.Errorf("the server was spoken to in %q", r.header.Get("X-Protocol"))
		}
	})
	t.Run("TCPIdleTimeoutOfRequests", func(t *testing.T) {
		y.get("patient")
		until(t, "the connection is closed", func() bool { return y.stat("patient", "upstream_cx_idle_timeout") > 0 })
	})
	t.Run("HTTPSettingsOfBytes", func(t *testing.T) {
		began := time.Now()
		conn, err := y.caller.Dial(y.vip("odd"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(eventually))
		// It ends when connections of TCP do, not when those of HTTP would.
		got, err := io.ReadAll(conn)
		if took := time.Since(began); err != nil || len(got) == 0 || took < 900*time.Millisecond {
			t.Errorf("got %q, then %v after %v", got, err, took)
		}
	})
	t.Run("MaxConnectionDuration", func(t *testing.T) {
		y.get("aging")
		until(t, "the connection is closed", func() bool { return y.stat("aging", "upstream_cx_max_duration_reached") > 0 })
	})
	t.Run("ConnectTimeout", func(t *testing.T) {
		if r := y.get("unreached"); r.status != 503 || y.stat("unreached", "upstream_cx_connect_timeout") != 1 {
			t.Errorf("%d, %d timeouts", r.status, y.stat("unreached", "upstream_cx_connect_timeout"))
		}
	})
	// ends says how a connection ends that says nothing after the first words.
	ends := func(t *testing.T, address string, words bool) time.Duration {
		t.Helper()
		began := time.Now() // the proxy's clock may run before Dial returns
		conn, err := y.caller.Dial(address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(eventually))
		if words {
			stop := make(chan struct{})
			defer close(stop)
			go func() {
				ticker := time.NewTicker(100 * time.Millisecond)
				defer ticker.Stop()
				for {
					select {
					case <-ticker.C:
						_, _ = conn.Write([]byte("."))
					case <-stop:
						return
					}
				}
			}()
		}
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("the connection stays")
		}
		return time.Since(began)
	}
	t.Run("TCPIdleTimeout", func(t *testing.T) {
		if took := ends(t, y.vip("bytes"), false); took < 900*time.Millisecond {
			t.Errorf("closed after %v, which is too soon", took)
		}
	})
	t.Run("TCPMaxConnectionDuration", func(t *testing.T) {
		if took := ends(t, y.vip("brief"), true); took < 900*time.Millisecond {
			t.Errorf("closed after %v, which is too soon", took)
		}
	})
	t.Run("TCPMaxConnections", func(t *testing.T) {
		for range 2 {
			conn, err := y.caller.Dial(y.vip("few"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(eventually))
			if _, err := conn.Read(make([]byte, 8)); err != nil {
				t.Fatal(err)
			}
		}
		conn, err := y.caller.Dial(y.vip("few"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(eventually))
		if n, err := conn.Read(make([]byte, 8)); err == nil {
			t.Errorf("a third connection got %d bytes", n)
		}
		if y.stat("few", "upstream_cx_overflow") == 0 {
			t.Error("it was not for their number")
		}
	})
	t.Run("Protocols", func(t *testing.T) {
		for service, want := range map[string][2]string{
			"plain": {"HTTP/1.1", "HTTP/1.1"}, "upgraded": {"HTTP/2.0", "HTTP/2.0"}, "same": {"HTTP/1.1", "HTTP/2.0"}, "two": {"HTTP/2.0", "HTTP/2.0"},
		} {
			for i, c := range []*http.Client{y.client, clientHTTP2(y.caller)} {
				if r := y.call(c, service); r.header.Get("X-Protocol") != want[i] {
					t.Errorf("%s, client %d: the server was spoken to in %q, want %s", service, i+1, r.header.Get("X-Protocol"), want[i])
				}
			}
		}
	})
}
