// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestStreams: connections that are more than requests: WebSocket, tunnels
// through HTTP proxies, and the PROXY protocol.
func TestStreams(t *testing.T) {
	y := newYard(t, "a")
	pod := y.pods["a"].pod
	heads := make(chan string, 4)
	remember(t, pod.Listen("0.0.0.0:7070"), heads)
	lines := service("socket", 1, "80/HTTP", "10.244.1.1:8080") +
		service("connect", 2, "3128/TCP", "10.244.1.1:8080") +
		service("post", 3, "3128/TCP", "10.244.1.1:8080") +
		service("first", 4, "7070/TCP", "10.244.1.1:7070") +
		service("second", 5, "7070/TCP", "10.244.1.1:7070")
	y.push(lines, rule("connect", "{tunnel: {protocol: CONNECT, targetHost: far.example, targetPort: 443}}")+
		rule("post", "{tunnel: {protocol: POST, targetHost: far.example, targetPort: 443}}")+
		rule("first", "{proxyProtocol: {version: V1}}")+rule("second", "{proxyProtocol: {version: V2}}"))
	dial := func(t *testing.T, service string) (net.Conn, *bufio.Reader) {
		t.Helper()
		conn, err := y.caller.Dial(y.vip(service))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(eventually))
		return conn, bufio.NewReader(conn)
	}
	echoes := func(t *testing.T, conn net.Conn, r *bufio.Reader) {
		t.Helper()
		for _, word := range []string{"one\n", "two\n"} {
			if _, err := io.WriteString(conn, word); err != nil {
				t.Fatal(err)
			}
			if got, err := r.ReadString('\n'); err != nil || got != word {
				t.Fatalf("%v %q, want %q", err, got, word)
			}
		}
	}

	t.Run("WebSocket", func(t *testing.T) {
		y.pods["a"].answers(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "websocket" {
				w.WriteHeader(http.StatusUpgradeRequired)
				return
			}
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
			parrot(w)
		})
		conn, r := dial(t, "socket")
		_, _ = io.WriteString(conn, "GET /chat HTTP/1.1\r\nHost: socket\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGVzdA==\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "websocket" {
			t.Fatalf("%v %+v", err, resp)
		}
		_ = resp.Body.Close()
		echoes(t, conn, r)
	})
	for name, method := range map[string]string{"connect": http.MethodConnect, "post": http.MethodPost} {
		t.Run("Tunnel/"+method, func(t *testing.T) {
			asked := make(chan string, 1)
			y.pods["a"].answers(func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Method + " " + r.Host
				if r.Method == http.MethodConnect {
					w.WriteHeader(http.StatusOK)
					parrot(w)
					return
				}
				c := http.NewResponseController(w)
				_ = c.EnableFullDuplex()
				w.WriteHeader(http.StatusOK)
				_ = c.Flush()
				for b := bufio.NewReader(r.Body); ; {
					line, err := b.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = io.WriteString(w, line)
					_ = c.Flush()
				}
			})
			conn, r := dial(t, name)
			echoes(t, conn, r)
			if got := <-asked; got != method+" far.example:443" {
				t.Errorf("the proxy was asked %q", got)
			}
		})
	}
	for service, head := range map[string]string{"first": "PROXY TCP4 10.244.0.10 ", "second": "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\xf4\x00\x0a"} {
		t.Run("ProxyProtocol/"+service, func(t *testing.T) {
			conn, _ := dial(t, service)
			_, _ = io.WriteString(conn, "hello")
			if got := <-heads; !strings.HasPrefix(got, head) || !strings.HasSuffix(got, "hello") {
				t.Errorf("the server got %q", got)
			}
		})
	}
}

// parrot takes a connection over and says what it hears.
func parrot(w http.ResponseWriter) {
	conn, b, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(fmt.Sprintf("take the connection over: %v", err))
	}
	defer func() { _ = conn.Close() }()
	_ = b.Flush()
	_, _ = io.Copy(conn, b.Reader)
}

// remember what connections begin with, up to "hello".
func remember(t *testing.T, l net.Listener, heads chan<- string) {
	t.Helper()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				var got strings.Builder
				for b := bufio.NewReader(conn); !strings.HasSuffix(got.String(), "hello"); {
					c, err := b.ReadByte()
					if err != nil {
						return
					}
					got.WriteByte(c)
				}
				heads <- got.String()
			}()
		}
	}()
}
