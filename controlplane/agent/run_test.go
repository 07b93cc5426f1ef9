// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/miekg/dns"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/isthmesh/isthmesh/controlplane/agent"
	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/metrics"
	ndsv1 "github.com/isthmesh/isthmesh/controlplane/agent/nds/v1"
	"github.com/isthmesh/isthmesh/test/envoybin"
)

// proxy is a running agent with a real Envoy.
type proxy struct {
	settings agent.Settings
	output   *output
	stop     context.CancelFunc
	ended    chan struct{}
	code     int
	err      error
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// givenPorts are those that a test of this package was given.
var givenPorts sync.Map

// freePort is given once, and below those that the system gives to whoever asks for
// any: until it is used nobody else gets it.
func freePort(t *testing.T) uint16 {
	t.Helper()
	for range 1000 {
		port := uint16(20000 + rand.IntN(10000))
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		at := net.JoinHostPort("", strconv.Itoa(int(port)))
		l, err := net.Listen("tcp", at)
		if err != nil {
			continue
		}
		p, err := net.ListenPacket("udp", at)
		_ = l.Close()
		if err != nil {
			continue
		}
		_ = p.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}

func settings(t *testing.T, c *standIn) agent.Settings {
	t.Helper()
	dir := t.TempDir()
	s := agent.Defaults()
	s.Node = bootstrap.Node{
		Type: "sidecar", Name: "reviews-1", Namespace: "shop", ServiceAccount: "reviews", DomainSuffix: "cluster.local",
		Service: "reviews.shop", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		ClusterID: "west", Network: "west", MeshID: "shop", DNSCapture: true,
	}
	s.TrustDomain = "west.shop.example"
	s.Discovery, s.CA = c.address, c.address
	s.DiscoveryName, s.CAName = testServer, testServer
	s.RootFile, s.TokenFile = filepath.Join(dir, "root.pem"), filepath.Join(dir, "token")
	check(t, os.WriteFile(s.RootFile, []byte(certPEM(c.root.Raw)), 0o600))
	check(t, os.WriteFile(s.TokenFile, []byte(testToken), 0o600))
	s.Directory = dir
	s.EnvoyPath = envoybin.Path(t)
	s.AdminPort, s.StatusPort, s.HealthPort, s.MetricsPort, s.DNSPort = freePort(t), freePort(t), freePort(t), freePort(t), freePort(t)
	return s
}

func run(t *testing.T, s agent.Settings) *proxy {
	t.Helper()
	p := &proxy{settings: s, output: &output{}, ended: make(chan struct{})}
	p.settings.EnvoyOutput = p.output
	ctx, stop := context.WithCancel(logr.NewContext(context.Background(), testr.New(t)))
	p.stop = stop
	go func() {
		defer close(p.ended)
		p.code, p.err = agent.Run(ctx, p.settings)
	}()
	t.Cleanup(func() {
		stop()
		<-p.ended
		if t.Failed() {
			t.Logf("Envoy's log:\n%s", p.output)
		}
	})
	return p
}

func (p *proxy) url(port uint16, path string) string {
	return "http://127.0.0.1:" + strconv.Itoa(int(port)) + path
}

// eventually asks until the answer pleases, or fails.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 90*time.Second, true, func(context.Context) (bool, error) {
		last = f()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, last)
	}
}

func get(method, url string) (int, string, error) {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func (p *proxy) ready() error {
	code, body, err := get(http.MethodGet, p.url(p.settings.HealthPort, "/healthz/ready"))
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%d: %s", code, body)
	}
	return err
}

// shortLife of certificates that are renewed while a test waits. Between a renewal
// that is late and the end of the former certificate there must be some seconds.
const shortLife = 20 * time.Second

// TestRun takes one proxy through its life.
func TestRun(t *testing.T) {
	c := newStandIn(t, shortLife)
	s := settings(t, c)
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "orders_total 3\n")
	}))
	t.Cleanup(application.Close)
	s.Application = &metrics.Source{Scheme: "http", Port: strconv.Itoa(int(netip.MustParseAddrPort(application.Listener.Addr().String()).Port())), Path: "/metrics"}
	s.DrainAtMost = 2 * time.Minute
	port := freePort(t)
	check(t, c.listeners.UpdateResource("virtualInbound", inboundListener(t, port)))
	check(t, c.names.UpdateResource("", &ndsv1.NameTable{Table: map[string]*ndsv1.NameTable_NameInfo{
		"ratings.shop.svc.cluster.local": {Ips: []string{"240.240.0.1"}, Registry: "Kubernetes", Shortname: "ratings", Namespace: "shop"},
	}}))
	p := run(t, s)
	eventually(t, "ready", p.ready)

	info, err := os.Stat(filepath.Join(s.Directory, "envoy.json"))
	check(t, err)
	socket, err := os.Stat(filepath.Join(s.Directory, "sds.sock"))
	check(t, err)
	if info.Mode().Perm() != 0o600 || socket.Mode().Perm() != 0o600 {
		t.Errorf("bootstrap has mode %v, socket %v, want 0600", info.Mode(), socket.Mode())
	}

	roots := x509.NewCertPool()
	roots.AddCert(c.root)
	dial := func() *tls.Conn {
		// The name in a workload's certificate is its SPIFFE ID, checked below.
		conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
		check(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		leaf := conn.ConnectionState().PeerCertificates[0]
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots})
		check(t, err)
		if leaf.URIs[0].String() != testIdentity {
			t.Errorf("identity %s", leaf.URIs[0])
		}
		return conn
	}
	resolves := func(name, address string) error {
		at := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.DNSPort)))
		answer, _, err := (&dns.Client{Timeout: time.Minute}).Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), at)
		if err != nil {
			return err
		}
		if len(answer.Answer) != 1 || answer.Answer[0].(*dns.A).A.String() != address {
			return fmt.Errorf("answer %v", answer)
		}
		return nil
	}
	t.Run("CertificateRotatesInPlace", func(t *testing.T) {
		old := dial()
		first := old.ConnectionState().PeerCertificates[0].SerialNumber
		eventually(t, "a new certificate", func() error {
			conn := dial()
			defer func() { _ = conn.Close() }()
			if serial := conn.ConnectionState().PeerCertificates[0].SerialNumber; serial.Cmp(first) == 0 {
				return errors.New("still the first")
			}
			return nil
		})
		if got := request(t, old); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("on the old connection: %s", got)
		}
		_ = old.Close()
	})
	t.Run("DNS", func(t *testing.T) {
		eventually(t, "a name of the mesh", func() error { return resolves("ratings.shop.svc.cluster.local.", "240.240.0.1") })
	})
	t.Run("MergedMetrics", func(t *testing.T) {
		_, body, err := get(http.MethodGet, p.url(s.StatusPort, "/stats/prometheus"))
		check(t, err)
		for _, want := range []string{"istio_agent_go_goroutines ", "istio_agent_dns_requests_total ", `istio_agent_cert_expiry_seconds{resource_name="default"} `, "envoy_server_live{} 1", "orders_total 3"} {
			if !strings.Contains(body, want) {
				t.Errorf("no %q on the page", want)
			}
		}
		_, body, err = get(http.MethodGet, p.url(s.MetricsPort, "/stats/prometheus"))
		check(t, err)
		if !strings.Contains(body, "envoy_server_live{} 1") || strings.Contains(body, "orders_total") || strings.Contains(body, "istio_agent_") {
			t.Errorf("on Envoy's own port, not Envoy's metrics alone:\n%s", body)
		}
		if code, _, _ := get(http.MethodGet, p.url(s.MetricsPort, "/config_dump")); code != http.StatusNotFound {
			t.Errorf("administration answers %d on the port of metrics", code)
		}
	})
	t.Run("WithoutTheControlPlane", func(t *testing.T) {
		c.stop()
		eventually(t, "ready", p.ready) // an Envoy that answers late is asked again
		check(t, resolves("ratings.shop.svc.cluster.local.", "240.240.0.1"))
	})
	t.Run("ControlPlaneIsBack", func(t *testing.T) {
		c.start(t, c.address)
		check(t, c.names.UpdateResource("details.shop.svc.cluster.local", &ndsv1.NameTable{
			NameInfo: &ndsv1.NameTable_NameInfo{Ips: []string{"240.240.0.2"}, Registry: "Kubernetes", Shortname: "details", Namespace: "shop"},
		}))
		eventually(t, "a name more", func() error { return resolves("details.shop.svc.cluster.local.", "240.240.0.2") })
		check(t, resolves("ratings.shop.svc.cluster.local.", "240.240.0.1"))
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.namesKnown) != 1 {
			t.Errorf("the new stream says that %v are known", c.namesKnown)
		}
	})
	t.Run("Drain", func(t *testing.T) {
		conn := dial()
		if got := request(t, conn); strings.Contains(strings.ToLower(got), "connection: close") {
			t.Fatalf("closes before draining: %s", got)
		}
		code, body, err := get(http.MethodPost, p.url(s.StatusPort, "/drain"))
		if err != nil || code != http.StatusOK {
			t.Fatalf("%d %s %v", code, body, err)
		}
		if got := request(t, conn); !strings.Contains(strings.ToLower(got), "connection: close") {
			t.Errorf("no connection: close while draining: %s", got)
		}
		// New connections are still served, and told to go as well.
		held := dial()
		eventually(t, "ready", p.ready)

		p.stop()
		eventually(t, "unready", func() error {
			if p.ready() == nil {
				return errors.New("still ready")
			}
			return nil
		})
		select {
		case <-p.ended:
			t.Fatal("ended with a connection open")
		default:
		}
		if got := request(t, held); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("while stopping: %s", got)
		}
		closed := time.Now()
		_ = held.Close()
		<-p.ended
		if waited := time.Since(closed); waited > s.DrainAtMost/2 {
			t.Errorf("ended %v after the last connection", waited)
		}
		if p.code != 0 || p.err != nil {
			t.Errorf("code %d, error %v", p.code, p.err)
		}
	})
}

func request(t *testing.T, conn net.Conn) string {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: reviews\r\n\r\n")
	check(t, err)
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	check(t, err)
	return string(buf[:n])
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	check(t, err)
	return a
}

// inboundListener answers 200 over the workload's certificate.
func inboundListener(t *testing.T, port uint16) types.Resource {
	sds := func(name string) *tlsv3.SdsSecretConfig {
		return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
			ResourceApiVersion: corev3.ApiVersion_V3,
			ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
				ApiType: corev3.ApiConfigSource_DELTA_GRPC, TransportApiVersion: corev3.ApiVersion_V3,
				GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
					EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: bootstrap.SDSCluster},
				}}},
			}},
		}}
	}
	socket := packed(t, &tlsv3.DownstreamTlsContext{
		RequireClientCertificate: wrapperspb.Bool(false),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds(bootstrap.WorkloadSecret)},
			ValidationContextType:          &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: sds(bootstrap.RootSecret)},
		},
	})
	manager := packed(t, &hcmv3.HttpConnectionManager{
		StatPrefix: "inbound",
		HttpFilters: []*hcmv3.HttpFilter{{
			Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &routerv3.Router{})},
		}},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
				Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}},
			}}}},
		}},
	})
	return &listenerv3.Listener{
		Name: "virtualInbound", TrafficDirection: corev3.TrafficDirection_INBOUND,
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
		}}},
		FilterChains: []*listenerv3.FilterChain{{
			Filters:         []*listenerv3.Filter{{Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager}}},
			TransportSocket: &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: socket}},
		}},
	}
}

// TestRunWithoutTrustDomain: whose control plane to believe isn't known, so
// nothing starts.
func TestRunWithoutTrustDomain(t *testing.T) {
	for name, domain := range map[string]string{"None": "", "Malformed": "West shop"} {
		t.Run(name, func(t *testing.T) {
			s := agent.Defaults()
			s.Node.Type, s.TrustDomain, s.Directory = "sidecar", domain, t.TempDir()
			code, err := agent.Run(t.Context(), s)
			if code != 1 || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("trust domain %q", domain)) {
				t.Errorf("code %d, error %v", code, err)
			}
		})
	}
}
