// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/pipeline/scenario"
)

func mesh(t *testing.T, text string) *model.Mesh {
	t.Helper()
	m, rest, err := scenario.Mesh(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(rest) > 0 {
		t.Fatalf("nothing is known about %q", rest)
	}
	return m
}

// echo answers requests with its name, what it saw of the caller, and the host.
func echo(p *rig.Pod, port int) {
	l := p.Listen(fmt.Sprintf("0.0.0.0:%d", port))
	server := &http.Server{
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "pod=%s host=%s protocol=%s xfcc=%s\n", p.Name, r.Host, r.Proto, r.Header.Get("X-Forwarded-Client-Cert"))
			for _, k := range slices.Sorted(maps.Keys(r.Header)) {
				_, _ = fmt.Fprintf(w, "header %s=%s\n", k, r.Header.Get(k))
			}
		}),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(l) }()
}

// greet says its name first, and then what it is told.
func greet(p *rig.Pod, port int) {
	l := p.Listen(fmt.Sprintf("0.0.0.0:%d", port))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = fmt.Fprintf(c, "I am %s\n", p.Name)
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

func client(p *rig.Pod) *http.Client {
	return &http.Client{Timeout: eventually, Transport: &http.Transport{
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) { return p.Dial(address) },
	}}
}

// clientHTTP2 speaks HTTP/2 from the first byte.
func clientHTTP2(p *rig.Pod) *http.Client {
	c := client(p)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	c.Transport.(*http.Transport).Protocols = protocols //nolint:forcetypeassert // made above
	return c
}

// get asks address for host and returns the status and the body.
func get(t *testing.T, c *http.Client, address, host string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	// What a client says of itself counts for nothing.
	r.Header.Set("X-Forwarded-Client-Cert", "URI=spiffe://forged")
	for _, name := range []string{"Internal", "Original-Path", "Retry-On", "Upstream-Rq-Timeout-Ms", "External-Address", "Peer-Metadata"} {
		r.Header.Set("X-Envoy-"+name, "told-by-client")
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(b))
}

const basic = `
member west network=n1 trust=west.example
service shop/reviews vip=10.96.0.7 port=80/HTTP port=70/TCP port=60/Auto port=90/GRPC id=shop/reviews
endpoint shop/reviews:80 10.244.0.20:8080
endpoint shop/reviews:70 10.244.0.20:7070
endpoint shop/reviews:60 10.244.0.20:8080
endpoint shop/reviews:90 10.244.0.20:9090
service shop/greeter vip=10.96.0.8 port=60/Auto id=shop/reviews
endpoint shop/greeter:60 10.244.0.20:7171
service shop/nobody vip=10.96.0.9 port=80/HTTP
endpoint shop/nobody:80 10.244.0.20:8080
service shop/other vip=10.96.0.10 port=80/HTTP id=shop/other
endpoint shop/other:80 10.244.0.20:8080
workload shop/reviews-1 10.244.0.20 sa=reviews mtls=Strict in=7070/TCP in=7171/Auto in=8080/Auto in=9090/GRPC
workload shop/client-1 10.244.0.10 sa=client
`

// TestCalls sends calls from one sidecar to another, both of them real.
func TestCalls(t *testing.T) {
	m := mesh(t, basic)
	// Else a server that speaks first is never heard on a port that is sniffed.
	m.Settings.DetectionMillis = 2000
	root := rig.NewRoot(t)
	fabric := rig.New(t)
	server, caller, stranger := fabric.Pod("shop", "reviews-1", "10.244.0.20"), fabric.Pod("shop", "client-1", "10.244.0.10"), fabric.Pod("shop", "stranger", "10.244.0.30")
	serverLeaf, callerLeaf := root.Leaf("spiffe://west.example/ns/shop/sa/reviews"), root.Leaf("spiffe://west.example/ns/shop/sa/client")
	s := snapshot.Build(m, nil)
	for _, e := range []*rig.Proxy{
		server.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://west.example/ns/shop/sa/reviews", Leaf: &serverLeaf, Redirect: true}),
		caller.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://west.example/ns/shop/sa/client", Leaf: &callerLeaf, Redirect: true}),
	} {
		e.Push(s)
	}
	echo(server, 8080)
	echo(server, 9090)
	greet(server, 7070)
	greet(server, 7171)

	const want = "pod=reviews-1"
	c := client(caller)
	for _, host := range []string{"reviews", "reviews.shop", "reviews.shop.svc", "reviews.shop.svc.cluster.local", "reviews.shop.svc.cluster.local.", "10.96.0.7", "reviews:80", "reviews.shop.svc.cluster.local:80"} {
		status, body := get(t, c, "10.96.0.7:80", host)
		if status != 200 || !strings.Contains(body, want) || !strings.Contains(body, "URI=spiffe://west.example/ns/shop/sa/client") || strings.Contains(body, "forged") {
			t.Errorf("host %s: %d %s", host, status, body)
		}
	}
	t.Run("SniffedHTTP", func(t *testing.T) {
		status, body := get(t, c, "10.96.0.7:60", "whatever")
		if status != 200 || !strings.Contains(body, "URI=spiffe://west.example/ns/shop/sa/client") {
			t.Errorf("%d %s", status, body)
		}
	})
	// A port that says http gets HTTP/1.1 from both sidecars, as in Istio.
	for name, to := range map[string]struct{ port, protocol string }{"HTTP2OnHTTP": {"80", "HTTP/1.1"}, "HTTP2OnGRPC": {"90", "HTTP/2.0"}, "SniffedHTTP2": {"60", "HTTP/2.0"}} {
		t.Run(name, func(t *testing.T) {
			status, body := get(t, clientHTTP2(caller), "10.96.0.7:"+to.port, "reviews")
			if status != 200 || !strings.Contains(body, "protocol="+to.protocol) || !strings.Contains(body, "URI=spiffe://west.example/ns/shop/sa/client") {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	t.Run("HTTP10", func(t *testing.T) {
		conn, err := caller.Dial("10.96.0.7:80")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\nHost: reviews\r\n\r\n")
		if b, _ := io.ReadAll(conn); !strings.Contains(string(b), want) {
			t.Errorf("%s", b)
		}
	})
	for name, address := range map[string]string{"TCP": "10.96.0.7:70", "SniffedTCP": "10.96.0.8:60"} {
		t.Run(name, func(t *testing.T) { converse(t, caller, address, "reviews-1") })
	}
	t.Run("NobodyAnswersForAServiceWithoutIdentities", func(t *testing.T) {
		if status, body := get(t, c, "10.96.0.9:80", "nobody"); status != 503 {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("NobodyAnswersForAnotherIdentity", func(t *testing.T) {
		if status, body := get(t, c, "10.96.0.10:80", "other"); status != 503 {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("PlaintextToStrict", func(t *testing.T) {
		if status, body := get(t, client(stranger), "10.244.0.20:8080", "reviews"); status != 0 {
			t.Errorf("%d %s", status, body)
		}
	})
	for name, leaf := range map[string]rig.Leaf{
		"ForeignRoot": rig.NewRoot(t).Leaf("spiffe://west.example/ns/shop/sa/client"),
		"NoIdentity":  root.Leaf(""),
	} {
		t.Run(name, func(t *testing.T) {
			if answer, err := overTLS(t, stranger, "10.244.0.20:8080", leaf.TLS(t, "reviews", "istio-http/1.1")); err == nil {
				t.Errorf("got an answer: %s", answer)
			}
		})
	}
	t.Run("OwnRoot", func(t *testing.T) {
		leaf := root.Leaf("spiffe://elsewhere.example/ns/a/sa/b")
		answer, err := overTLS(t, stranger, "10.244.0.20:8080", leaf.TLS(t, "reviews", "istio-http/1.1"))
		if err != nil || !strings.Contains(answer, "URI=spiffe://elsewhere.example/ns/a/sa/b") {
			t.Errorf("%v %s", err, answer)
		}
	})
}

// converse listens to a server's first words, and talks to it.
func converse(t *testing.T, from *rig.Pod, address, name string) {
	t.Helper()
	conn, err := from.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(eventually))
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || line != "I am "+name+"\n" {
		t.Fatalf("%v %q", err, line)
	}
	if _, err := conn.Write([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%v %q", err, line)
	}
}

// overTLS sends one request as a client of its own.
func overTLS(t *testing.T, from *rig.Pod, address string, config *tls.Config) (string, error) {
	t.Helper()
	conn, err := from.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(eventually))
	c := tls.Client(conn, config)
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: reviews\r\nConnection: close\r\n\r\n")); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	if len(b) == 0 && err == nil {
		err = io.EOF
	}
	return string(b), err
}
