// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// echoed says a line and hears it again.
func (c conversation) echoed() error {
	_ = c.SetDeadline(time.Now().Add(eventually))
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return err
	}
	line, err := c.answers.ReadString('\n')
	if err == nil && line != "hello\n" {
		err = fmt.Errorf("answer %q", line)
	}
	return err
}

// ends waits for its end.
func (c conversation) ends() error {
	_ = c.SetDeadline(time.Now().Add(eventually))
	_, err := c.answers.ReadByte()
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

	talk := func(c conversation, http1 bool) error {
		if http1 {
			return c.ask()
		}
		return c.echoed()
	}
	dial := func(address string, http1 bool, config *tls.Config) conversation {
		t.Helper()
		conn, err := from.Dial(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(eventually))
		if config != nil {
			conn = tls.Client(conn, config)
		}
		c := conversation{conn, bufio.NewReader(conn)}
		if !http1 {
			if _, err := c.answers.ReadString('\n'); err != nil {
				t.Fatalf("%s greets: %v", address, err)
			}
		}
		if err := talk(c, http1); err != nil {
			t.Fatalf("%s, first: %v", address, err)
		}
		return c
	}
	client := root.Leaf("spiffe://west.example/ns/shop/sa/client")
	inMesh := func(alpn ...string) *tls.Config { return client.TLS(t, "reviews", alpn...) }
	type kept struct {
		conversation
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
		// end opens a connection that the change ends.
		end func() conversation
	}{
		{"Strict", func() conversation { return dial("10.244.0.20:8080", true, nil) }},
		// A client of the mesh that says nothing of protocols, which only STRICT knows from an application's.
		{"Permissive", func() conversation { return dial("10.244.0.20:8080", true, inMesh()) }},
	} {
		end := step.end()
		m := mesh(t, fmt.Sprintf(lines, step.mode))
		m.Settings = settings
		s = snapshot.Build(m, s)
		e.Push(s)
		if err := end.ends(); err != nil {
			t.Errorf("%s: what it doesn't take any more goes on: %v", step.mode, err)
		}
		for _, k := range keep {
			if err := talk(k.conversation, k.http1); err != nil {
				t.Errorf("%s: %s: %v", step.mode, k.name, err)
			}
		}
	}
}
