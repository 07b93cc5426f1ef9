// SPDX-License-Identifier: Apache-2.0

package redteam

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/sds"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/envoybin"
)

// greeting is what comes through an Envoy that lets a connection pass.
const greeting = "welcome"

// greet runs a server that says the greeting to everyone, over TLS if config
// is given, and returns its address.
func greet(t testing.TB, config *tls.Config) string {
	t.Helper()
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	address := listener.Addr().String()
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				_, _ = io.WriteString(conn, greeting)
				_, _ = conn.Read(make([]byte, 1)) // until the peer goes
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return address
}

// upstream is a way out of the Envoy under attack: a listener in plaintext,
// and behind it a server that must pass the check of socket.
type upstream struct {
	name    string
	address string
	socket  *corev3.TransportSocket
}

// proxy is a running Envoy with a workload's certificate.
type proxy struct {
	t     testing.TB
	dir   string
	ports map[string]string
}

type object = map[string]any

// start runs Envoy with listener "inbound", which lets workloads of the mesh
// in, and one listener per upstream.
func start(t testing.TB, leaf *csr.Leaf, upstreams ...upstream) *proxy {
	t.Helper()
	// Unix sockets need short paths.
	dir := must[string](t)(os.MkdirTemp("", "redteam-"))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &proxy{t: t, dir: dir}
	p.serveSecrets(leaf)

	config := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(config, p.bootstrap(upstreams), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(envoybin.Path(t), "-c", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "--file-flush-interval-msec", "10")
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Envoy: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Envoy: %s", log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	p.wait(len(upstreams) + 1)
	return p
}

func (p *proxy) serveSecrets(leaf *csr.Leaf) {
	p.t.Helper()
	server := sds.New("redteam-")
	if err := server.Set(leaf); err != nil {
		p.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, p.path("sds")) }()
	p.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
}

func (p *proxy) path(name string) string { return filepath.Join(p.dir, name) }

func (p *proxy) bootstrap(upstreams []upstream) []byte {
	p.t.Helper()
	clusters := []object{{
		"name": envoy.SDSCluster, "type": "STATIC", "connect_timeout": "5s",
		"typed_extension_protocol_options": object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": object{"http2_protocol_options": object{}},
		}},
		"load_assignment": endpoint(envoy.SDSCluster, object{"pipe": object{"path": p.path("sds")}}),
	}, {
		"name": "application", "type": "STATIC", "connect_timeout": "5s",
		"load_assignment": p.endpointAt("application", greet(p.t, nil)),
	}}
	listeners := []object{listener("inbound", object{
		"transport_socket": p.json(envoy.ServerTLS(model.TLSLimits{})),
		"filters":          []object{tcpProxy("application", nil)},
	}, p.accessLog("inbound", "DOWNSTREAM_TRANSPORT_FAILURE_REASON"))}
	for _, u := range upstreams {
		clusters = append(clusters, object{
			"name": u.name, "type": "STATIC", "connect_timeout": "5s", "transport_socket": p.json(u.socket),
			"load_assignment": p.endpointAt(u.name, u.address),
		})
		listeners = append(listeners, listener(u.name, object{
			"filters": []object{tcpProxy(u.name, p.accessLog(u.name, "UPSTREAM_TRANSPORT_FAILURE_REASON"))},
		}, nil))
	}
	return must[[]byte](p.t)(json.Marshal(object{
		"node":             object{"id": "sidecar~127.0.0.1~victim.shop~shop.svc.cluster.local", "cluster": "victim.shop"},
		"admin":            object{"address": object{"pipe": object{"path": p.path("admin")}}},
		"static_resources": object{"clusters": clusters, "listeners": listeners},
	}))
}

func endpoint(cluster string, address object) object {
	return object{"cluster_name": cluster, "endpoints": []object{{"lb_endpoints": []object{{"endpoint": object{"address": address}}}}}}
}

func (p *proxy) endpointAt(cluster, address string) object {
	p.t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		p.t.Fatal(err)
	}
	return endpoint(cluster, object{"socket_address": object{"address": host, "port_value": json.Number(port)}})
}

func tcpProxy(cluster string, accessLog []object) object {
	return object{"name": "envoy.filters.network.tcp_proxy", "typed_config": object{
		"@type":       "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
		"stat_prefix": cluster, "cluster": cluster, "max_connect_attempts": 1, "access_log": accessLog,
	}}
}

func listener(name string, chain object, accessLog []object) object {
	return object{
		"name": name, "address": object{"socket_address": object{"address": "127.0.0.1", "port_value": 0}},
		"filter_chains": []object{chain}, "access_log": accessLog,
	}
}

// accessLog writes why TLS failed, one line per connection.
func (p *proxy) accessLog(name, reason string) []object {
	return []object{{"name": "envoy.access_loggers.file", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": p.path(name + ".log"),
		"log_format": object{"text_format_source": object{"inline_string": "%" + reason + "%\n"}},
	}}}
}

func (p *proxy) json(socket *corev3.TransportSocket) json.RawMessage {
	return must[[]byte](p.t)(protojson.Marshal(socket))
}

// wait until all listeners have their secrets and a port.
func (p *proxy) wait(listeners int) {
	p.t.Helper()
	admin := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", p.path("admin")) },
	}}
	get := func(path string) (int, []byte) {
		answer, err := admin.Get("http://admin" + path)
		if err != nil {
			return 0, nil
		}
		defer func() { _ = answer.Body.Close() }()
		b, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, b
	}
	p.until("Envoy is not ready", func() bool { code, _ := get("/ready"); return code == http.StatusOK })
	var status struct {
		Listeners []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	_, b := get("/listeners?format=json")
	if err := json.Unmarshal(b, &status); err != nil || len(status.Listeners) != listeners {
		p.t.Fatalf("Envoy has %d listeners, want %d: %v %s", len(status.Listeners), listeners, err, b)
	}
	p.ports = map[string]string{}
	for _, l := range status.Listeners {
		p.ports[l.Name] = fmt.Sprintf("127.0.0.1:%d", l.Address.Socket.Port)
	}
}

func (p *proxy) until(what string, done func() bool) {
	p.t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			p.t.Fatalf("%s after a minute", what)
		}
	}
}

// outcome of one connection through a listener: whether the greeting came, and
// what Envoy says of TLS.
func (p *proxy) outcome(name string, connect func(address string) (net.Conn, error)) (admitted bool, reason string) {
	p.t.Helper()
	before := p.lines(name)
	conn, err := connect(p.ports[name])
	if err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		got := make([]byte, len(greeting))
		_, err = io.ReadFull(conn, got)
		admitted = err == nil && string(got) == greeting
		_ = conn.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.t.Fatal("Envoy neither admits nor refuses")
		}
	}
	p.until("Envoy logged nothing", func() bool { return len(p.lines(name)) > len(before) })
	return admitted, strings.ReplaceAll(p.lines(name)[len(before)], "_", " ")
}

func (p *proxy) lines(name string) []string {
	b, err := os.ReadFile(p.path(name + ".log"))
	if err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	// Only whole lines count.
	return strings.Split(string(b), "\n")[:strings.Count(string(b), "\n")]
}
