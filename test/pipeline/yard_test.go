// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// eventually is how long a test waits for what must come, in a slow minute too.
const eventually = 90 * time.Second

// yard is a sidecar that is real, and pods without one whose answers a test
// decides. They are 10.244.1.1:8080 and so on, in the order in which they were named.
type yard struct {
	t        *testing.T
	root     *rig.Root
	fabric   *rig.Fabric
	caller   *rig.Pod
	sidecar  *rig.Proxy
	mesh     *model.Mesh
	snapshot *snapshot.Snapshot
	settings *model.Settings
	pods     map[string]*server
	client   *http.Client
}

func newYard(t *testing.T, pods ...string) *yard {
	t.Helper()
	y := &yard{t: t, root: rig.NewRoot(t), fabric: rig.New(t), pods: map[string]*server{}}
	y.caller = y.fabric.Pod("shop", "client", "10.244.0.10")
	leaf := y.root.Leaf("spiffe://here.example/ns/shop/sa/client")
	y.sidecar = y.caller.Envoy(rig.Options{Type: "sidecar", Identity: "spiffe://here.example/ns/shop/sa/client", Leaf: &leaf, Redirect: true})
	for i, name := range pods {
		y.pods[name] = newServer(y.fabric.Pod("shop", name, fmt.Sprintf("10.244.1.%d", i+1)), 8080)
	}
	y.client = client(y.caller)
	return y
}

// push a mesh in lines of package scenario, with objects of Kubernetes beside it.
// The caller is in eu/eu-1.
func (y *yard) push(lines, objects string) {
	y.t.Helper()
	lines += "\nworkload shop/client 10.244.0.10 sa=client zone=eu/eu-1 labels=stage=one,version=v1\n"
	y.mesh = meshOf(y.t, map[string][]byte{"mesh": []byte(lines), "objects.yaml": []byte(objects)})
	for _, p := range y.mesh.Problems {
		y.t.Fatalf("the objects are not as they should be: %+v", p)
	}
	if y.snapshot != nil {
		// The settings are the same, and so is their pointer, as ingest has it.
		y.mesh.Settings = y.settings
	}
	y.settings = y.mesh.Settings
	y.snapshot = snapshot.Build(y.mesh, y.snapshot)
	y.sidecar.Push(y.snapshot)
}

// vip of a service of namespace shop.
func (y *yard) vip(name string) string {
	y.t.Helper()
	for _, st := range y.mesh.Services {
		if st.Service.Name == name && len(st.Service.Addresses) > 0 {
			return net.JoinHostPort(st.Service.Addresses[0].String(), fmt.Sprint(st.Service.Ports[0].Number))
		}
	}
	y.t.Fatalf("there is no service %s", name)
	return ""
}

// reply to a call; Pod is who gave it, empty for the proxy.
type reply struct {
	status int
	pod    string
	header http.Header
	body   string
}

// call a service with a client.
func (y *yard) call(c *http.Client, service string, change ...func(*http.Request)) reply {
	y.t.Helper()
	r, err := http.NewRequestWithContext(y.t.Context(), http.MethodGet, "http://"+y.vip(service)+"/", nil)
	if err != nil {
		y.t.Fatal(err)
	}
	r.Host = service
	for _, do := range change {
		do(r)
	}
	resp, err := c.Do(r)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, pod: resp.Header.Get("X-Pod"), header: resp.Header, body: string(b)}
}

func (y *yard) get(service string, change ...func(*http.Request)) reply {
	return y.call(y.client, service, change...)
}

// seen are who answers n calls, one after the other; "" is the proxy.
func (y *yard) seen(service string, n int) map[string]bool {
	y.t.Helper()
	out := map[string]bool{}
	for range n {
		out[y.get(service).pod] = true
	}
	return out
}

// among says that calls come to reach these pods, all of them and no others, and
// since when: all calls from then on did. Envoy tells its threads of ejections once a second.
func (y *yard) among(t *testing.T, service string, pods ...string) (since time.Time) {
	t.Helper()
	want := map[string]bool{}
	for _, p := range pods {
		want[p] = true
	}
	until(t, fmt.Sprintf("%v answer for %s", pods, service), func() bool {
		since = time.Now()
		seen := map[string]bool{}
		for range 20 * len(pods) {
			pod := y.get(service).pod
			if !want[pod] {
				return false
			}
			seen[pod] = true
		}
		return maps.Equal(seen, want)
	})
	return since
}

// spread of n calls over pods, made by eight callers at a time.
func (y *yard) spread(service string, n int, change ...func(*http.Request)) map[string]int {
	y.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	out := map[string]int{}
	for range 8 {
		wg.Go(func() {
			c := client(y.caller)
			defer c.CloseIdleConnections()
			for range n / 8 {
				a := y.call(c, service, change...)
				mu.Lock()
				if out[a.pod]++; a.pod == "" {
					y.t.Errorf("%d %s", a.status, a.body)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out
}

// until a condition holds; it fails the test when it never does.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(eventually); !holds(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("after %v it is not so: %s", eventually, what)
		}
	}
}

// stat of a cluster of a service's first port.
func (y *yard) stat(service, name string) int {
	for _, st := range y.mesh.Services {
		if st.Service.Name == service {
			return y.sidecar.Stat(fmt.Sprintf("cluster.outbound|%d||%s.%s", st.Service.Ports[0].Number, st.Service.Hostname, name))
		}
	}
	return -1
}

// server is an application of a pod.
type server struct {
	pod      *rig.Pod
	port     int
	stopped  func()
	handler  atomic.Pointer[http.HandlerFunc]
	requests atomic.Int64
	// connections that were ever opened.
	connections atomic.Int64
}

func newServer(p *rig.Pod, port int) *server {
	s := &server{pod: p, port: port}
	s.start()
	return s
}

// start to listen.
func (s *server) start() {
	l := s.pod.Listen(fmt.Sprintf("0.0.0.0:%d", s.port))
	h := &http.Server{
		Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.connections.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.requests.Add(1)
			w.Header().Set("X-Pod", s.pod.Name)
			w.Header().Set("X-Protocol", r.Proto)
			if do := s.handler.Load(); do != nil {
				(*do)(w, r)
			}
		}),
	}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = h.Serve(l) }()
	s.stopped = func() { _ = h.Close() }
}

// stop listening; connections are refused.
func (s *server) stop() { s.stopped() }

// answers from now on; nil answers 200.
func (s *server) answers(do http.HandlerFunc) {
	if do == nil {
		s.handler.Store(nil)
		return
	}
	s.handler.Store(&do)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// held requests wait until release is called, or their callers go.
func held() (do http.HandlerFunc, release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ctx.Done():
		case <-r.Context().Done():
		}
	}, cancel
}

// services are lines of one service on the pods, all in one place.
func service(name string, number int, port string, endpoints ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "service shop/%s vip=10.96.1.%d port=%s\n", name, number, port)
	at, _, _ := strings.Cut(port, "/")
	for _, e := range endpoints {
		fmt.Fprintf(&b, "endpoint shop/%s:%s %s plain\n", name, at, e)
	}
	return b.String()
}

// rule is a DestinationRule on a service of namespace shop.
func rule(host, policy string) string {
	return fmt.Sprintf("---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: %s, namespace: shop}\nspec: {host: %[1]s, trafficPolicy: %s}\n", host, policy)
}

// routed is a VirtualService that sends what a service gets to itself, so and so.
func routed(host, how string) string {
	return fmt.Sprintf("---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %s, namespace: shop}\nspec: {hosts: [%[1]s], http: [{route: [{destination: {host: %[1]s}}], %s}]}\n", host, how)
}

// hello is the name of who answers a connection.
func hello(t *testing.T, from *rig.Pod, address string) string {
	t.Helper()
	conn, err := from.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(eventually))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "I am "))
}
