// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/test/security"
)

// patience with one call; an answer, or a closed connection, comes long before.
const patience = time.Minute

// clients keep connections of one scenario open.
type clients struct {
	w    *world
	open map[string]*connection
}

type connection struct {
	net.Conn
	r *bufio.Reader
}

func (w *world) clients() *clients { return &clients{w: w, open: map[string]*connection{}} }

func (c *clients) close() {
	for _, conn := range c.open {
		_ = conn.Close()
	}
}

// dial as the caller of a call; TLS when it has an identity.
func (w *world) dial(call security.Call) (*connection, error) {
	conn, err := w.connect(call)
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReader(conn)}, nil
}

func deadline(conn net.Conn) { _ = conn.SetDeadline(time.Now().Add(patience)) }

func (w *world) connect(call security.Call) (net.Conn, error) {
	if j, ok := w.journeys[call.Caller]; ok {
		conn, err := j.pod.Dial(j.to[call.Port])
		if err == nil {
			deadline(conn)
		}
		return conn, err
	}
	if w.gate != nil {
		return w.knock(call)
	}
	who := w.oracle.Callers[call.Caller]
	conn, err := w.pods[who.Address.String()].Dial(w.address(call.Port))
	if err != nil {
		return nil, err
	}
	deadline(conn)
	if who.Identity == "" {
		return conn, nil
	}
	alpn := envoy.ALPNHTTP1
	if call.TCP() {
		alpn = envoy.ALPNTCP
	}
	config := w.leaves[call.Caller].TLS(w.t, w.oracle.ServerName(call), alpn)
	config.ClientSessionCache = w.sessions[call.Caller]
	secured := tls.Client(conn, config)
	if err := secured.Handshake(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

// verdict of the real proxy on a call.
func (c *clients) verdict(call security.Call) (int, error) {
	if call.TCP() {
		return c.w.converse(call)
	}
	status, _, err := c.request(call)
	return status, err
}

// request over a connection that is kept, or over a new one.
func (c *clients) request(call security.Call) (int, *http.Response, error) {
	key := strings.Join([]string{call.Port, call.Caller, call.SNI, call.From}, " ")
	for range 2 {
		conn := c.open[key]
		fresh := conn == nil
		if fresh {
			var err error
			if conn, err = c.w.dial(call); err != nil {
				return security.Refused, nil, unless(err)
			}
			c.open[key] = conn
		}
		deadline(conn)
		_, _ = io.WriteString(conn, c.w.text(call))
		r, err := http.ReadResponse(conn.r, &http.Request{Method: call.Method})
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		if err == nil {
			if r.Close {
				_ = conn.Close()
				delete(c.open, key)
			}
			return r.StatusCode, r, nil
		}
		_ = conn.Close()
		delete(c.open, key)
		if fresh {
			return security.Refused, nil, unless(err)
		}
	}
	return security.Refused, nil, errors.New("the connection was closed twice")
}

// unless it took too long, a connection that fails is an answer.
func unless(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer: %w", err)
	}
	return nil
}

// text of a request as it goes over the wire.
func (w *world) text(call security.Call) string {
	var b strings.Builder
	path := call.Path
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", call.Method, path, call.Host)
	if call.Token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", w.tokens[call.Token])
	}
	if call.Headers != "" {
		for _, h := range strings.Split(call.Headers, "&") {
			name, value, _ := strings.Cut(h, "=")
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	if call.Method == http.MethodPost || call.Method == http.MethodPut {
		b.WriteString("Content-Length: 0\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// converse over TCP: what is said must come back.
func (w *world) converse(call security.Call) (int, error) {
	conn, err := w.dial(call)
	if err != nil {
		return security.Refused, unless(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "ping\n")
	line, err := conn.r.ReadString('\n')
	switch {
	case err != nil:
		return security.Refused, unless(err)
	case line != "ping\n":
		return 0, fmt.Errorf("heard %q", line)
	}
	return security.Allowed, nil
}
