// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// sniffed has services whose protocol is declared, and told by what is said first.
const sniffed = `
member west network=n1 trust=west.example
service shop/reviews vip=10.96.0.7 port=80/HTTP port=60/Auto port=3306/TCP id=shop/reviews
endpoint shop/reviews:80 10.244.0.20:8080
endpoint shop/reviews:60 10.244.0.20:8080
endpoint shop/reviews:3306 10.244.0.20:3306
service shop/greeter vip=10.96.0.8 port=60/Auto id=shop/reviews
endpoint shop/greeter:60 10.244.0.20:7171
workload shop/reviews 10.244.0.20 sa=reviews in=8080/Auto in=7171/Auto in=3306/TCP
workload shop/client-1 10.244.0.10 sa=client
`

// sniffers are a caller and a server with sidecars, and a caller without.
func sniffers(t *testing.T, detection time.Duration) (caller, plain *rig.Pod) {
	t.Helper()
	root, fabric := rig.NewRoot(t), rig.New(t)
	server, caller := fabric.Pod("shop", "reviews", "10.244.0.20"), fabric.Pod("shop", "client-1", "10.244.0.10")
	plain = fabric.Pod("outside", "plain", "10.244.0.40")
	m := mesh(t, sniffed)
	m.Settings.DetectionMillis = detection.Milliseconds()
	s := snapshot.Build(m, nil)
	for pod, account := range map[*rig.Pod]string{server: "reviews", caller: "client"} {
		id := "spiffe://west.example/ns/shop/sa/" + account
		leaf := root.Leaf(id)
		pod.Envoy(rig.Options{Type: "sidecar", Identity: id, Leaf: &leaf, Redirect: true}).Push(s)
	}
	echo(server, 8080)
	greet(server, 7171)
	greet(server, 3306)
	return caller, plain
}

// TestSilentConnection opens connections, as clients' pools do in advance, and only
// asks something later than Envoy waits by itself: they are asked of the
// service still, over mutual TLS where the caller is in the mesh, and don't go past the
// rules for HTTP.
func TestSilentConnection(t *testing.T) {
	caller, plain := sniffers(t, 0)
	type call struct {
		from    *rig.Pod
		address string
		want    string
	}
	calls := map[string]call{
		"Declared":        {caller, "10.96.0.7:80", "xfcc=By=spiffe://west.example/ns/shop/sa/reviews"},
		"SniffedByCaller": {caller, "10.96.0.7:60", "xfcc=By=spiffe://west.example/ns/shop/sa/reviews"},
		// What the sidecar takes as HTTP it tells the client's headers apart in.
		"SniffedByServer": {plain, "10.244.0.20:8080", "header X-Request-Id="},
	}
	conns := map[string]func(*testing.T){}
	for name, c := range calls {
		conn, err := c.from.Dial(c.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[name] = func(t *testing.T) {
			if err := conn.SetDeadline(time.Now().Add(eventually)); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: reviews\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body := new(strings.Builder)
			if _, err := bufio.NewReader(answer.Body).WriteTo(body); err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(body.String(), c.want) {
				t.Errorf("%s, %v: %s", answer.Status, err, body)
			}
			_ = answer.Body.Close()
		}
	}
	<-time.After(envoysOwn + time.Second)
	for name, ask := range conns {
		t.Run(name, ask)
	}
}

// envoysOwn is how long Envoy waits for inspectors when a listener says nothing.
const envoysOwn = 15 * time.Second

// TestServerSpeaksFirst talks to servers that do, as those of MySQL. Where their
// protocol is declared they are heard at once, between sidecars. Where it is told by
// what clients say first they are heard when the mesh's protocolDetectionTimeout is
// over; without one, as in Istio, never.
func TestServerSpeaksFirst(t *testing.T) {
	const detection = 2 * time.Second
	for name, patience := range map[string]time.Duration{"WithTimeout": detection, "Without": 0} {
		t.Run(name, func(t *testing.T) {
			caller, plain := sniffers(t, patience)
			t.Run("Declared", func(t *testing.T) { converse(t, caller, "10.96.0.7:3306", "reviews") })
			for name, c := range map[string]struct {
				from    *rig.Pod
				address string
			}{
				"SniffedByCaller": {caller, "10.96.0.8:60"},
				"SniffedByServer": {plain, "10.244.0.20:7171"},
				// Whether a caller speaks mutual TLS is told by its first words, too.
				"DeclaredToServer": {plain, "10.244.0.20:3306"},
			} {
				t.Run(name, func(t *testing.T) {
					if patience == 0 {
						hears(t, c.from, c.address, detection+time.Second)
						return
					}
					start := time.Now()
					converse(t, c.from, c.address, "reviews")
					if took := time.Since(start); took < detection*9/10 {
						t.Errorf("it was heard after %v, without any wait", took)
					}
				})
			}
		})
	}
}

// hears nothing for a while.
func hears(t *testing.T, from *rig.Pod, address string, within time.Duration) {
	t.Helper()
	conn, err := from.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(within))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes came, %v", n, err)
	}
}
