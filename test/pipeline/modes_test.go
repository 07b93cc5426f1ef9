// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// openConn is a connection that a test keeps open.
type openConn struct {
	net.Conn
	r *bufio.Reader
}

// ask and be answered once, over HTTP or in lines.
func (h *openConn) ask(http1 bool) error {
	if !http1 {
		if _, err := io.WriteString(h, "hello\n"); err != nil {
			return err
		}
		line, err := h.r.ReadString('\n')
		if err == nil && line != "hello\n" {
			err = fmt.Errorf("answer %q", line)
		}
		return err
	}
	if _, err := io.WriteString(h, "GET / HTTP/1.1\r\nHost: reviews\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(h.r, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || resp.Close {
		return fmt.Errorf("status %d, the connection ends after it: %v", resp.StatusCode, resp.Close)
	}
	return nil
}

// ends waits for its end.
func (h *openConn) ends() error {
	_, err := h.r.ReadByte()
	switch {
	case err == nil:
		return errors.New("it says something")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	return nil
}

// TestModeChangesKeepConnections: a change between PERMISSIVE and STRICT ends the
// connections that the new mode wouldn't take, or takes in another way, and none of the mesh's own.
func TestModeChangesKeepConnections(t *testing.T) {
	const lines = `
member west network=n1 trust=west.example
workload shop/reviews-1 10.244.0.20 sa=reviews mtls=%s in=8080/HTTP in=7070/TCP in=8181/Auto in=7171/Auto
`
	root, fabric := rig.NewRoot(t), rig.New(t)
	server, from := fabric.Pod("shop", "reviews-1", "10.244.0.20"), fabric.Pod("shop", "client-1", "10.244.0.10")
	leaf := root.Leaf("spiffe://west.example/ns/shop/sa/reviews")
	e := server.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://west.example/ns/shop/sa/reviews", Leaf: &leaf, Redirect: true})
	m := mesh(t, fmt.Sprintf(lines, "Permissive"))
	settings := m.Settings
	s := snapshot.Build(m, nil)
	e.Push(s)
	echo(server, 8080)
	echo(server, 8181)
	greet(server, 7070)
	greet(server, 7171)

	dial := func(address string, http1 bool, config *tls.Config) *openConn {
		t.Helper()
		conn, err := from.Dial(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(2 * eventually))
		if config != nil {
			conn = tls.Client(conn, config)
		}
		h := &openConn{conn, bufio.NewReader(conn)}
		if !http1 {
			if _, err := h.r.ReadString('\n'); err != nil {
				t.Fatalf("%s greets: %v", address, err)
			}
		}
		if err := h.ask(http1); err != nil {
			t.Fatalf("%s, first: %v", address, err)
		}
		return h
	}
	client := root.Leaf("spiffe://west.example/ns/shop/sa/client")
	inMesh := func(alpn ...string) *tls.Config { return client.TLS(t, "reviews", alpn...) }
	type kept struct {
		*openConn
		name  string
		http1 bool
	}
	var keep []kept
	for _, c := range []struct {
		address string
		http1   bool
		alpn    string
	}{
		{"10.244.0.20:8080", true, "istio-http/1.1"},
		{"10.244.0.20:8080", true, "istio"},
		{"10.244.0.20:7070", false, "istio"},
		{"10.244.0.20:7070", false, "istio-peer-exchange"},
		{"10.244.0.20:8181", true, "istio-http/1.1"},
		{"10.244.0.20:7171", false, "istio"},
	} {
		keep = append(keep, kept{dial(c.address, c.http1, inMesh(c.alpn)), c.address + " " + c.alpn, c.http1})
	}
	for _, step := range []struct {
		mode string
		// end is a connection that the change ends.
		end *openConn
	}{
		{"Strict", dial("10.244.0.20:8080", true, nil)},
		{"Permissive", nil},
	} {
		if step.end == nil {
			// A client of the mesh that says nothing of protocols, which only STRICT knows from an application's.
			step.end = dial("10.244.0.20:8080", true, inMesh())
		}
		m := mesh(t, fmt.Sprintf(lines, step.mode))
		m.Settings = settings
		s = snapshot.Build(m, s)
		e.Push(s)
		if err := step.end.ends(); err != nil {
			t.Errorf("%s: what it doesn't take any more goes on: %v", step.mode, err)
		}
		for _, k := range keep {
			if err := k.ask(k.http1); err != nil {
				t.Errorf("%s: %s: %v", step.mode, k.name, err)
			}
		}
	}
}
