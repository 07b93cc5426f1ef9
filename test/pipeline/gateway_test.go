// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

const (
	east = `
member east network=n2 trust=east.example
service shop/reviews vip=10.96.1.7 port=80/%s exported id=shop/reviews
endpoint shop/reviews:80 10.244.2.1:8080
endpoint shop/reviews:80 10.244.2.2:8080
endpoint shop/reviews:80 10.244.2.3:8080
service shop/secret vip=10.96.1.8 port=80/HTTP id=shop/reviews
endpoint shop/secret:80 10.244.2.1:8080
workload shop/reviews-1 10.244.2.1 sa=reviews mtls=Strict in=8080/%[1]s
workload shop/reviews-2 10.244.2.2 sa=reviews mtls=Strict in=8080/%[1]s
workload shop/reviews-3 10.244.2.3 sa=reviews mtls=Strict in=8080/%[1]s
`
	west = `
member west network=n1 trust=west.example
service shop/reviews vip=240.240.0.7 port=80/%s imported remote id=east.example/shop/reviews
import shop/reviews:80 gateway=10.244.2.9:15443 member=east network=n2 weight=3
service shop/secret vip=240.240.0.8 port=80/HTTP imported remote id=east.example/shop/reviews
import shop/secret:80 gateway=10.244.2.9:15443 member=east network=n2 weight=1
workload shop/client-1 10.244.1.1 sa=client
`
)

// federation is two members: a caller in west, three pods and a gateway in east.
type federation struct {
	fabric          *rig.Fabric
	settings        *model.Settings
	root            *rig.Root
	east            *model.Mesh
	caller          *rig.Pod
	stranger        *rig.Pod
	gateway, client *rig.Proxy
	snapshot        *snapshot.Snapshot
}

func newFederation(t *testing.T, protocol string) *federation {
	t.Helper()
	f := &federation{root: rig.NewRoot(t), east: mesh(t, fmt.Sprintf(east, protocol))}
	fabric := rig.New(t)
	f.fabric = fabric
	f.caller, f.stranger = fabric.Pod("shop", "client-1", "10.244.1.1"), fabric.Pod("shop", "stranger", "10.244.1.2")
	f.snapshot = snapshot.Build(f.east, nil)
	for i := 1; i <= 3; i++ {
		pod := fabric.Pod("shop", fmt.Sprintf("reviews-%d", i), fmt.Sprintf("10.244.2.%d", i))
		leaf := f.root.Leaf("spiffe://east.example/ns/shop/sa/reviews")
		e := pod.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://east.example/ns/shop/sa/reviews", Leaf: &leaf, Redirect: true})
		e.Push(f.snapshot)
		echo(pod, 8080)
	}
	// It has no certificate: there is nothing that it could end TLS with.
	f.gateway = fabric.Pod("istio-system", "istio-eastwestgateway-1", "10.244.2.9").Envoy(rig.Options{
		Type: "router", Labels: map[string]string{"istio": "eastwestgateway"},
		Identity: "spiffe://east.example/ns/istio-system/sa/istio-eastwestgateway",
	})
	f.gateway.Push(f.snapshot)
	leaf := f.root.Leaf("spiffe://west.example/ns/shop/sa/client")
	f.client = f.caller.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://west.example/ns/shop/sa/client", Leaf: &leaf, Redirect: true})
	f.client.Push(snapshot.Build(mesh(t, fmt.Sprintf(west, protocol)), nil))
	return f
}

// change east's mesh and push it to the gateway.
func (f *federation) change(do func(*model.Mesh)) {
	m := *f.east
	m.Services = append([]model.ServiceState(nil), m.Services...)
	do(&m)
	f.east = &m
	f.snapshot = snapshot.Build(f.east, f.snapshot)
	f.gateway.Push(f.snapshot)
}

// TestGateway sends calls from one network to another.
func TestGateway(t *testing.T) {
	f := newFederation(t, "HTTP")
	c := client(f.caller)
	t.Run("Spread", func(t *testing.T) {
		pods := map[string]int{}
		for range 1000 {
			status, body := get(t, c, "240.240.0.7:80", "reviews.shop.svc.clusterset.local")
			if status != http.StatusOK || !strings.Contains(body, "URI=spiffe://west.example/ns/shop/sa/client") {
				t.Fatalf("%d %s", status, body)
			}
			pods[strings.Fields(body)[0]]++
		}
		t.Log(pods)
		if len(pods) != 3 {
			t.Errorf("1,000 requests reached %d of 3 pods: %v", len(pods), pods)
		}
	})
	t.Run("NotExported", func(t *testing.T) {
		if status, body := get(t, c, "240.240.0.8:80", "secret.shop"); status != 503 {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("ServerNames", func(t *testing.T) {
		leaf := f.root.Leaf("spiffe://west.example/ns/shop/sa/client")
		for sni, open := range map[string]bool{
			"outbound_.80_._.reviews.shop.svc.cluster.local": true,
			"outbound_.80_._.secret.shop.svc.cluster.local":  false,
			"outbound_.81_._.reviews.shop.svc.cluster.local": false,
			"reviews.shop.svc.cluster.local":                 false,
			"BlackHoleCluster":                               false,
			"xds-grpc":                                       false,
			"sds-grpc":                                       false,
			"":                                               false,
		} {
			answer, err := overTLS(t, f.stranger, "10.244.2.9:15443", leaf.TLS(t, sni, "istio-http/1.1"))
			if (err == nil) != open {
				t.Errorf("server name %q: %v %s", sni, err, answer)
			}
		}
	})
	t.Run("Plaintext", func(t *testing.T) {
		if status, body := get(t, client(f.stranger), "10.244.2.9:15443", "outbound_.80_._.reviews.shop.svc.cluster.local"); status != 0 {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("NoKeys", func(t *testing.T) {
		dump := f.gateway.Get("/config_dump?resource=dynamic_listeners") + f.gateway.Get("/config_dump?resource=dynamic_active_clusters")
		if !strings.Contains(dump, "outbound_.80_._.reviews") || strings.Contains(dump, "transport_socket\"") || strings.Contains(dump, "TlsContext") {
			t.Errorf("the gateway has TLS of its own, or no configuration at all:\n%s", dump)
		}
	})
	t.Run("Export", func(t *testing.T) {
		reviews := f.open(t, "outbound_.80_._.reviews.shop.svc.cluster.local")
		if err := reviews.ask(); err != nil {
			t.Fatal(err)
		}
		f.export(1, true)
		secret := f.open(t, "outbound_.80_._.secret.shop.svc.cluster.local")
		if err := secret.ask(); err != nil {
			t.Errorf("just exported: %v", err)
		}
		f.export(1, false)
		for end := time.Now().Add(time.Minute); secret.ask() == nil; {
			if time.Now().After(end) {
				t.Fatal("a connection outlives its service's export")
			}
		}
		if err := f.open(t, "outbound_.80_._.secret.shop.svc.cluster.local").ask(); err == nil {
			t.Error("a service that is exported no more can be reached")
		}
		if err := reviews.ask(); err != nil {
			t.Errorf("a connection was cut by the export of another service: %v", err)
		}
	})
}

// TestGatewayHTTP2 does the same with concurrent requests over HTTP/2, which
// all fit into one connection.
func TestGatewayHTTP2(t *testing.T) {
	f := newFederation(t, "GRPC")
	c := clientHTTP2(f.caller)
	var mu sync.Mutex
	var wg sync.WaitGroup
	pods := map[string]int{}
	for range 10 {
		wg.Go(func() {
			for range 100 {
				status, body := get(t, c, "240.240.0.7:80", "reviews")
				if status != http.StatusOK {
					t.Errorf("%d %s", status, body)
					return
				}
				mu.Lock()
				pods[strings.Fields(body)[0]]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(pods) != 3 {
		t.Errorf("1,000 requests reached %d of 3 pods: %v", len(pods), pods)
	}
}

// conversation is a connection that stays open, with a client of its own.
type conversation struct {
	net.Conn
	answers *bufio.Reader
}

func (f *federation) open(t *testing.T, sni string) conversation {
	t.Helper()
	conn, err := f.stranger.Dial("10.244.2.9:15443")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	leaf := f.root.Leaf("spiffe://west.example/ns/shop/sa/client")
	secured := tls.Client(conn, leaf.TLS(t, sni, "istio-http/1.1"))
	return conversation{secured, bufio.NewReader(secured)}
}

// ask sends a request and reads the answer, all of it: it may come in pieces.
func (c conversation) ask() error {
	_ = c.SetDeadline(time.Now().Add(eventually))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: reviews\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s", answer.Status)
	}
	return nil
}

// export a service of east, or withdraw it.
func (f *federation) export(service int, exported bool) {
	f.change(func(m *model.Mesh) {
		svc := *m.Services[service].Service
		svc.Exported = exported
		m.Services[service] = model.ServiceState{Service: &svc, Endpoints: m.Services[service].Endpoints}
	})
}
