// SPDX-License-Identifier: Apache-2.0

package hds_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/service/health/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/hds"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/goroutines"
)

func TestMain(m *testing.M) { goroutines.Verify(m) }

type caller authn.Caller

func (c *caller) Authenticate(context.Context) (*authn.Caller, error) { return (*authn.Caller)(c), nil }

func gatewayMesh(remotes ...string) *model.Mesh {
	m := &model.Mesh{
		Settings: &model.Settings{RootNamespace: "istio-system", GatewayChecks: &model.GatewayChecks{
			IntervalMillis: 2000, TimeoutMillis: 1000, UnhealthyThreshold: 2, HealthyThreshold: 3,
		}},
		Workloads: []*model.Workload{
			{Namespace: "istio-system", Name: "gateway-1", ServiceAccount: "gateway", UID: "7", Labels: map[string]string{"istio": "eastwestgateway"}},
			{Namespace: "istio-system", Name: "ingress-1", ServiceAccount: "gateway", Labels: map[string]string{"istio": "ingressgateway"}},
		},
	}
	for _, r := range remotes {
		name, addresses, _ := strings.Cut(r, "=")
		remote := &model.Remote{Cluster: model.ClusterID(name), TrustDomain: name + ".example"}
		for _, a := range strings.Split(addresses, ",") {
			remote.Gateways = append(remote.Gateways, model.GatewayAddress{Address: a, Port: 15443})
		}
		m.Remotes = append(m.Remotes, remote)
	}
	return m
}

// rig is a server with a client of it.
type rig struct {
	t       *testing.T
	server  *hds.Server
	client  healthv3.HealthDiscoveryServiceClient
	changed chan struct{}
	metrics *prometheus.Registry
	now     time.Time
}

func start(t *testing.T, who *caller) *rig {
	t.Helper()
	r := &rig{t: t, changed: make(chan struct{}, 100), metrics: prometheus.NewRegistry(), now: time.Unix(1000, 0)}
	var err error
	r.server, err = hds.New(hds.Options{
		Authenticator: who, Registry: r.metrics, Changed: func() { r.changed <- struct{}{} }, Now: func() time.Time { return r.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 20)
	g := grpc.NewServer()
	r.server.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///hds", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		g.Stop()
		<-served
	})
	r.client = healthv3.NewHealthDiscoveryServiceClient(conn)
	return r
}

// open a stream as the proxy of a node id.
func (r *rig) open(node string) healthv3.HealthDiscoveryService_StreamHealthCheckClient {
	r.t.Helper()
	s, err := r.client.StreamHealthCheck(r.t.Context())
	if err == nil {
		err = s.Send(&healthv3.HealthCheckRequestOrEndpointHealthResponse{RequestType: &healthv3.HealthCheckRequestOrEndpointHealthResponse_HealthCheckRequest{
			HealthCheckRequest: &healthv3.HealthCheckRequest{Node: &corev3.Node{Id: node}},
		}})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// asked says what a stream is to check.
func (r *rig) asked(s healthv3.HealthDiscoveryService_StreamHealthCheckClient) string {
	r.t.Helper()
	m, err := s.Recv()
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, c := range m.GetClusterHealthChecks() {
		for _, e := range c.GetLocalityEndpoints()[0].GetEndpoints() {
			out = append(out, c.GetClusterName()+"/"+e.GetAddress().GetSocketAddress().GetAddress())
		}
	}
	return strings.Join(out, " ")
}

// report the state of a gateway on a stream.
func report(t *testing.T, s healthv3.HealthDiscoveryService_StreamHealthCheckClient, member, address string, h corev3.HealthStatus) {
	t.Helper()
	if err := s.Send(reported(member, address, h)); err != nil {
		t.Fatal(err)
	}
}

func reported(member, address string, h corev3.HealthStatus) *healthv3.HealthCheckRequestOrEndpointHealthResponse {
	return &healthv3.HealthCheckRequestOrEndpointHealthResponse{RequestType: &healthv3.HealthCheckRequestOrEndpointHealthResponse_EndpointHealthResponse{
		EndpointHealthResponse: &healthv3.EndpointHealthResponse{ClusterEndpointsHealth: []*healthv3.ClusterEndpointsHealth{{
			ClusterName: member,
			LocalityEndpointsHealth: []*healthv3.LocalityEndpointsHealth{{EndpointsHealth: []*healthv3.EndpointHealth{{
				Endpoint: &endpointv3.Endpoint{Address: envoy.Address(address, 15443)}, HealthStatus: h,
			}}}},
		}}},
	}}
}

// TestAsks: a gateway is told what to check, and again when that is another;
// not when the mesh changes otherwise.
func TestAsks(t *testing.T) {
	r := start(t, &caller{Namespace: "istio-system", ServiceAccount: "gateway", PodName: "gateway-1", PodUID: "7"})
	s := r.open("router~10.0.0.1~gateway-1.istio-system~istio-system.svc.cluster.local") // waits for the first mesh
	r.server.Update(gatewayMesh("east=192.0.2.1,192.0.2.2", "north=lb.north.example"))
	if got := r.asked(s); got != "east/192.0.2.1 east/192.0.2.2" {
		t.Errorf("asked to check %q", got)
	}
	r.server.Update(gatewayMesh("east=192.0.2.1,192.0.2.2"))
	r.server.Update(gatewayMesh("east=192.0.2.1", "south=2001:db8::1"))
	if got := r.asked(s); got != "east/192.0.2.1 south/2001:db8::1" {
		t.Errorf("asked to check %q", got)
	}
	off := gatewayMesh("east=192.0.2.1")
	off.Settings.GatewayChecks = nil
	r.server.Update(off)
	if got := r.asked(s); got != "" {
		t.Errorf("asked to check %q while there are to be no checks", got)
	}
}

// TestTells: what a gateway finds is told once, of what it was asked for only,
// and taken back with the gateway that it is about.
func TestTells(t *testing.T) {
	r := start(t, &caller{Namespace: "istio-system", ServiceAccount: "gateway"})
	r.server.Update(gatewayMesh("east=192.0.2.1,192.0.2.2"))
	s := r.open("router~10.0.0.1~gateway-1.istio-system~x")
	r.asked(s)
	r.now = r.now.Add(time.Minute)
	for _, h := range []corev3.HealthStatus{corev3.HealthStatus_HEALTHY, corev3.HealthStatus_TIMEOUT, corev3.HealthStatus_TIMEOUT} {
		report(t, s, "east", "192.0.2.9", h) // nobody asked
		report(t, s, "west", "192.0.2.1", h)
		report(t, s, "east", "192.0.2.2", h)
	}
	<-r.changed
	want := model.RemoteGateway{Cluster: "east", GatewayAddress: model.GatewayAddress{Address: "192.0.2.2", Port: 15443}}
	if got := r.server.Unreached(); len(got) != 1 || got[0] != want {
		t.Errorf("unreached are %v", got)
	}
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	up := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			up[name] = m.GetGauge().GetValue()
		}
	}
	if up["isthmesh_remote_gateway_up 192.0.2.1:15443 east"] != 1 || up["isthmesh_remote_gateway_up 192.0.2.2:15443 east"] != 0 || up["isthmesh_gateway_checkers"] != 1 || len(up) != 3 {
		t.Errorf("metrics are %v", up)
	}
	r.server.Update(gatewayMesh("east=192.0.2.1"))
	<-r.changed
	if got := r.server.Unreached(); len(got) != 0 {
		t.Errorf("unreached are %v, of which none is left", got)
	}
	if len(r.changed) > 0 {
		t.Errorf("%d more changes were told", len(r.changed))
	}
}

// TestAdmits nobody but this member's own east-west gateways.
func TestAdmits(t *testing.T) {
	for name, test := range map[string]struct {
		who  caller
		node string
		code codes.Code
	}{
		"IngressGateway":    {caller{Namespace: "istio-system", ServiceAccount: "gateway"}, "router~10.0.0.1~ingress-1.istio-system~x", codes.PermissionDenied},
		"Sidecar":           {caller{Namespace: "istio-system", ServiceAccount: "gateway"}, "sidecar~10.0.0.1~gateway-1.istio-system~x", codes.PermissionDenied},
		"OtherNamespace":    {caller{Namespace: "shop", ServiceAccount: "gateway"}, "router~10.0.0.1~gateway-1.istio-system~x", codes.PermissionDenied},
		"OtherAccount":      {caller{Namespace: "istio-system", ServiceAccount: "default"}, "router~10.0.0.1~gateway-1.istio-system~x", codes.PermissionDenied},
		"OtherPod":          {caller{Namespace: "istio-system", ServiceAccount: "gateway", PodName: "ingress-1"}, "router~10.0.0.1~gateway-1.istio-system~x", codes.PermissionDenied},
		"EarlierPodOfAName": {caller{Namespace: "istio-system", ServiceAccount: "gateway", PodUID: "6"}, "router~10.0.0.1~gateway-1.istio-system~x", codes.PermissionDenied},
		"NotKnownYet":       {caller{Namespace: "istio-system", ServiceAccount: "gateway"}, "router~10.0.0.1~gateway-2.istio-system~x", codes.Unavailable},
		"NoNode":            {caller{Namespace: "istio-system", ServiceAccount: "gateway"}, "", codes.InvalidArgument},
		"Nonsense":          {caller{Namespace: "istio-system", ServiceAccount: "gateway"}, "~~.~", codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, &test.who)
			r.server.Update(gatewayMesh("east=192.0.2.1"))
			if _, err := r.open(test.node).Recv(); status.Code(err) != test.code {
				t.Errorf("got %v, want %s", err, test.code)
			}
		})
	}
}
