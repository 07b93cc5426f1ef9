// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/isthmesh/isthmesh/controlplane/xds"
	"github.com/isthmesh/isthmesh/test/envoybin"
)

// patience is how long anything real may take on a busy machine.
const patience = 60 * time.Second

// envoyProcess is a running Envoy and the server that leads it.
type envoyProcess struct {
	t        *testing.T
	server   *xds.Server
	registry *prometheus.Registry
	admin    *http.Client
	port     int // of its listener
	lines    *lines
	stream   atomic.Pointer[breaker] // the last one
}

// breaker lets so many more messages of a stream through, and then breaks it.
type breaker struct {
	grpc.ServerStream
	left atomic.Int64
}

func (b *breaker) SendMsg(m any) error {
	if b.left.Add(-1) < 0 {
		return errors.New("cut")
	}
	return b.ServerStream.SendMsg(m)
}

// lines remembers the last connection, to cut it.
type lines struct {
	net.Listener
	last atomic.Pointer[net.Conn]
}

func (l *lines) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.last.Store(&c)
	}
	return c, err
}

func startEnvoy(t *testing.T, api string) *envoyProcess {
	t.Helper()
	dir, err := os.MkdirTemp("", "xds") // t.TempDir is too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	e := &envoyProcess{t: t, registry: prometheus.NewRegistry()}
	if e.server, err = xds.New(xds.Options{Authenticator: byHeader{}, Registry: e.registry, Log: logr.Discard()}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "ads"))
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(append(xds.ServerOptions(), grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		b := &breaker{ServerStream: ss}
		b.left.Store(1 << 40)
		e.stream.Store(b)
		return handler(srv, b)
	}))...)
	e.server.Register(g)
	ctx, cancel := context.WithCancel(context.Background())
	e.lines = &lines{Listener: l}
	go func() { _ = g.Serve(e.lines) }()
	go func() { _ = e.server.Run(ctx) }()
	t.Cleanup(func() { cancel(); g.Stop() })
	e.port = freePort(t)
	e.admin = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "admin"))
	}}}
	e.run(dir, api)
	return e
}

func (e *envoyProcess) run(dir, api string) {
	t := e.t
	t.Helper()
	config := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(config, bootstrap(t, dir, api), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoybin.Path(t), "-c", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("Envoy:\n%s", b[max(0, len(b)-4000):])
		}
	})
}

func bootstrap(t *testing.T, dir, api string) []byte {
	type object = map[string]any
	pipe := func(name string) object { return object{"pipe": object{"path": filepath.Join(dir, name)}} }
	ads := object{"ads": object{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
	out, err := json.Marshal(object{
		"node":  object{"id": "sidecar~10.0.0.1~p-1.shop~shop.svc.cluster.local", "cluster": "x", "metadata": object{"NAMESPACE": "shop"}},
		"admin": object{"address": pipe("admin")},
		"dynamic_resources": object{
			"ads_config": object{
				"api_type": api, "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []object{{
					"envoy_grpc":       object{"cluster_name": "xds-grpc"},
					"initial_metadata": []object{{"key": "ns", "value": "shop"}, {"key": "sa", "value": "reviews"}},
				}},
			},
			"cds_config": ads, "lds_config": ads,
		},
		"static_resources": object{"clusters": []object{{
			"name": "xds-grpc", "type": "STATIC",
			"typed_extension_protocol_options": object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": object{"http2_protocol_options": object{}},
			}},
			"load_assignment": object{"cluster_name": "xds-grpc", "endpoints": []object{{"lb_endpoints": []object{{"endpoint": object{"address": pipe("ads")}}}}}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ours is an address of the loopback that no other test listens at: a port of it that
// is free now is free when Envoy listens, however long that takes.
const ours = "127.0.0.78"

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", ours+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func (e *envoyProcess) push(s site) {
	e.t.Helper()
	w, err := s.world()
	if err != nil {
		e.t.Fatal(err)
	}
	e.server.Push(w)
}

// call through the listener.
func (e *envoyProcess) call() (string, error) {
	r, err := http.Get(fmt.Sprintf("http://%s:%d/", ours, e.port))
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", r.Status, b)
	}
	return string(b), err
}

// cut the connection to the server.
func (e *envoyProcess) cut() { _ = (*e.lines.last.Load()).Close() }

// cutAfter so many more responses.
func (e *envoyProcess) cutAfter(n int64) { e.stream.Load().left.Store(n) }

// until something holds.
func (e *envoyProcess) until(what string, holds func() error) {
	e.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		if err = holds(); err == nil {
			return
		}
	}
	e.t.Fatalf("not so after %s: %s: %v\n%+v", patience, what, err, e.server.Proxies())
}

// active is nil when a cluster serves in a version.
func (e *envoyProcess) active(name string, version int) error {
	r, err := e.admin.Get("http://envoy/config_dump?resource=dynamic_active_clusters")
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if want := fmt.Sprintf(`"alt_stat_name": "v%d"`, version); !strings.Contains(string(b), want) {
		return fmt.Errorf("cluster %s is not active in version %d: %s", name, version, b)
	}
	return err
}

// synced is nil when a stream has asked for all types and has them.
func (e *envoyProcess) synced() error { return e.syncedSince(time.Time{}) }

// syncedSince is synced of a stream that was opened after a time.
func (e *envoyProcess) syncedSince(opened time.Time) error {
	for _, p := range e.server.Proxies() {
		if !p.Connected.After(opened) {
			continue
		}
		in := 0
		for _, ty := range p.Types {
			if ty.State == xds.Synced {
				in++
			}
		}
		if in == 4 {
			return nil
		}
	}
	return errors.New("not in step")
}

// pushes so far.
func (e *envoyProcess) pushes() int {
	families, err := e.registry.Gather()
	if err != nil {
		e.t.Fatal(err)
	}
	n := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "pilot_xds_pushes" {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return int(n)
}
