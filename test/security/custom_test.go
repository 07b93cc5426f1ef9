// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/security"
)

// authorizer says no to whoever comes as pay, and to header x-deny. It keeps
// what it was asked last.
type authorizer struct {
	authv3.UnimplementedAuthorizationServer
	mu    sync.Mutex
	asked int
	last  map[string]string
}

func (a *authorizer) Check(_ context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	request := r.GetAttributes().GetRequest().GetHttp()
	a.mu.Lock()
	a.asked++
	a.last = request.GetHeaders()
	a.mu.Unlock()
	code := codes.OK
	if strings.Contains(r.GetAttributes().GetSource().GetPrincipal(), "/ns/pay/") || strings.Contains(request.GetHeaders()["x-deny"], "yes") {
		code = codes.PermissionDenied
	}
	return &authv3.CheckResponse{Status: &status.Status{Code: int32(code)}}, nil
}

func (a *authorizer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked++
	a.last = map[string]string{":path": r.URL.Path}
	for k, v := range r.Header {
		a.last[strings.ToLower(k)] = strings.Join(v, ",")
	}
	a.mu.Unlock()
	if strings.Contains(strings.Join(r.Header.Values("X-Deny"), ","), "yes") {
		w.WriteHeader(http.StatusForbidden)
	}
}

// seen returns and forgets what was asked.
func (a *authorizer) seen() (int, map[string]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, last := a.asked, a.last
	a.asked, a.last = 0, nil
	return n, last
}

// authorizer in a pod of the fabric, and clusters that lead to it.
func (w *world) authorizer() *authorizer {
	a := &authorizer{}
	pod := w.pods[far]
	g := grpc.NewServer()
	authv3.RegisterAuthorizationServer(g, a)
	l := pod.Listen("0.0.0.0:9000")
	go func() { _ = g.Serve(l) }()
	w.t.Cleanup(g.Stop)
	h := &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}
	l2 := pod.Listen("0.0.0.0:8000")
	go func() { _ = h.Serve(l2) }()
	w.t.Cleanup(func() { _ = h.Close() })
	for port, http2 := range map[uint16]bool{9000: true, 8000: false, 9999: true} {
		w.clusters = append(w.clusters, static(w.t, port, http2))
	}
	return a
}

func static(t testing.TB, port uint16, http2 bool) *envoy.Resource {
	t.Helper()
	name := envoy.Outbound(port, "authz.shop.svc.cluster.local")
	c := &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Minute), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: envoy.Address(far, port)}}}},
		}}},
	}
	if http2 {
		c.TypedExtensionProtocolOptions = map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": envoy.Any(&upstreamv3.HttpProtocolOptions{
				UpstreamProtocolOptions: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig{
					ProtocolConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}},
				}},
			}),
		}
	}
	r, err := envoy.NewResource(name, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestExternalAuthorizers: CUSTOM asks when its rules match, and only then; its
// no is final, its yes is not; failures are as configured.
func TestExternalAuthorizers(t *testing.T) {
	w := newWorld(t)
	a := w.authorizer()
	host := model.Hostname("authz.shop.svc.cluster.local")
	w.settings.Providers = []model.Provider{
		{Name: "closed", GRPC: true, Host: host, Port: 9999, TimeoutMillis: 2000},
		{Name: "closed-503", GRPC: true, Host: host, Port: 9999, StatusOnError: 503},
		{Name: "grpc", GRPC: true, Host: host, Port: 9000},
		{Name: "http", Host: host, Port: 8000, IncludeRequestHeaders: []string{"x-*"}, PathPrefix: "/check", IncludeAdditionalRequestHeaders: []model.Header{{Name: "X-Added", Value: "1"}}},
		{Name: "open", GRPC: true, Host: host, Port: 9999, FailOpen: true},
	}
	const ask = "spec: {action: CUSTOM, provider: {name: %s}, rules: [{to: [{operation: {paths: [\"/ask*\"]}}]}]}\n"
	const other = "---\nmetadata: {name: other}\n"
	for name, test := range map[string]struct {
		policies string
		call     security.Call
		want     int
		asked    int
	}{
		"GRPCYes":        {fmt.Sprintf(ask, "grpc"), security.Call{Caller: "cart", Path: "/ask"}, 200, 1},
		"GRPCNo":         {fmt.Sprintf(ask, "grpc"), security.Call{Caller: "pay", Path: "/ask"}, 403, 1},
		"GRPCNotAsked":   {fmt.Sprintf(ask, "grpc"), security.Call{Caller: "pay", Path: "/"}, 200, 0},
		"HTTPYes":        {fmt.Sprintf(ask, "http"), security.Call{Caller: "cart", Path: "/ask", Headers: "x-a=1"}, 200, 1},
		"HTTPNo":         {fmt.Sprintf(ask, "http"), security.Call{Caller: "cart", Path: "/ask", Headers: "x-deny=yes"}, 403, 1},
		"SeveralValues":  {fmt.Sprintf(ask, "grpc"), security.Call{Caller: "cart", Path: "/ask", Headers: "x-deny=yes&x-deny=no"}, 403, 1},
		"SeveralValues2": {fmt.Sprintf(ask, "http"), security.Call{Caller: "cart", Path: "/ask", Headers: "x-deny=yes&x-deny=no"}, 403, 1},
		"YesIsNotFinal":  {fmt.Sprintf(ask, "grpc") + other + "spec: {action: DENY, rules: [{}]}", security.Call{Caller: "cart", Path: "/ask"}, 403, 1},
		"NoIsFinal":      {fmt.Sprintf(ask, "grpc") + other + "spec: {rules: [{}]}", security.Call{Caller: "pay", Path: "/ask"}, 403, 1},
		"BothMustAgree":  {fmt.Sprintf(ask, "grpc") + other + fmt.Sprintf(ask, "http"), security.Call{Caller: "pay", Path: "/ask"}, 403, 1},
		"BothAgree":      {fmt.Sprintf(ask, "grpc") + other + fmt.Sprintf(ask, "http"), security.Call{Caller: "cart", Path: "/ask"}, 200, 2},
		"Closed":         {fmt.Sprintf(ask, "closed"), security.Call{Caller: "cart", Path: "/ask"}, 403, 0},
		"ClosedStatus":   {fmt.Sprintf(ask, "closed-503"), security.Call{Caller: "cart", Path: "/ask"}, 503, 0},
		"Open":           {fmt.Sprintf(ask, "open"), security.Call{Caller: "cart", Path: "/ask"}, 200, 0},
		"Unknown":        {fmt.Sprintf(ask, "nobody"), security.Call{Caller: "cart", Path: "/"}, 403, 0},
		"TCPYes":         {fmt.Sprintf(ask, "grpc"), security.Call{Port: "tcp-strict", Caller: "cart"}, 200, 1},
		"TCPNo":          {fmt.Sprintf(ask, "grpc"), security.Call{Port: "tcp-strict", Caller: "pay"}, 0, 1},
		"TCPByHTTP":      {fmt.Sprintf(ask, "http"), security.Call{Port: "tcp-strict", Caller: "cart"}, 0, 0},
		"DryRun":         {"metadata: {annotations: {istio.io/dry-run: \"true\"}}\n" + fmt.Sprintf(ask, "grpc"), security.Call{Caller: "pay", Path: "/ask"}, 200, 0},
	} {
		t.Run(name, func(t *testing.T) {
			scenarios, err := security.Read(name, []byte("-- x policies --\n"+test.policies), w.replacer())
			if err != nil {
				t.Fatal(err)
			}
			w.apply(&scenarios[0])
			if test.call.Port == "" {
				test.call.Port, test.call.Method, test.call.Host = "http-strict", "GET", "server"
			}
			a.seen()
			clients := w.clients()
			defer clients.close()
			got, err := clients.verdict(test.call)
			if err != nil {
				t.Fatal(err)
			}
			asked, last := a.seen()
			if got != test.want || asked != test.asked {
				t.Errorf("got %d after %d questions, want %d after %d; last %v", got, asked, test.want, test.asked, last)
			}
			if name == "HTTPYes" && (last[":path"] != "/check/ask" || last["x-a"] != "1" || last["x-added"] != "1") {
				t.Errorf("asked %v", last)
			}
		})
	}
}
