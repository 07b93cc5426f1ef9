// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
)

// insertedBefore are filters of HTTP that come in for the workload, each before
// the router.
func insertedBefore(values ...string) string {
	var out strings.Builder
	out.WriteString("apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: inserted, namespace: default}\nspec:\n  workloadSelector: {labels: {app: productpage}}\n  configPatches:\n")
	for _, v := range values {
		fmt.Fprintf(&out, `  - {applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND, listener: {portNumber: 9080, filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}}, patch: {operation: INSERT_BEFORE, value: %s}}
`, v)
	}
	return out.String()
}

func luaOf(name, script string) string {
	return fmt.Sprintf(`{name: %s, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: {inline_string: %q}}}`, name, script)
}

// TestLua changes headers and bodies of both ways, in the order of the patches.
func TestLua(t *testing.T) {
	b := newBookinfo(t)
	b.push(insertedBefore(
		luaOf("first", `function envoy_on_request(h) h:headers():add("x-order", "first") end
function envoy_on_response(h) h:headers():add("x-lua", "answer") end`),
		luaOf("second", `function envoy_on_request(h) h:headers():replace("x-order", h:headers():get("x-order") .. " second") end
function envoy_on_response(h)
  local size = h:body():setBytes("rewritten by lua")
  h:headers():replace("content-length", size)
end`)))
	r, body := b.call(toPage, "/")
	if r.Header.Get("x-lua") != "answer" || body != "rewritten by lua" {
		t.Errorf("%v %q", r.Header, body)
	}
	b.push(insertedBefore(luaOf("first", `function envoy_on_request(h) h:headers():add("x-order", "first") end`),
		luaOf("second", `function envoy_on_request(h) h:headers():replace("x-order", h:headers():get("x-order") .. " second") end`)))
	if _, body := b.call(toPage, "/"); !strings.Contains(body, "header X-Order=first second\n") {
		t.Errorf("the request: %s", body)
	}
	if _, body := b.call(throughGateway, "/"); !strings.Contains(body, "header X-Order=first second\n") {
		t.Errorf("the request through the gateway, over mutual TLS: %s", body)
	}
}

// TestExtensionConfig has its filter's configuration by another patch, which
// may change alone.
func TestExtensionConfig(t *testing.T) {
	b := newBookinfo(t)
	filters := func(script string) string {
		return insertedBefore(`{name: shared.lua, config_discovery: {config_source: {ads: {}}, type_urls: [type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua]}}`) +
			"  - {applyTo: EXTENSION_CONFIG, patch: {operation: ADD, value: " + luaOf("shared.lua", script) + "}}\n"
	}
	for _, value := range []string{"one", "two"} {
		b.push(filters(`function envoy_on_response(h) h:headers():add("x-lua", "` + value + `") end`))
		if r, _ := b.call(toPage, "/"); r.Header.Get("x-lua") != value {
			t.Errorf("want %s: %v", value, r.Header)
		}
	}
}

const processor = `{applyTo: CLUSTER, match: {context: SIDECAR_INBOUND}, patch: {operation: ADD, value: {name: outside, type: STRICT_DNS, connect_timeout: 5s,
    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}},
    load_assignment: {cluster_name: outside, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: ratelimit.default.svc.cluster.local, port_value: 8082}}}}]}]}}}}
`

// TestExternalProcessor asks a server about each call, which answers some itself.
func TestExternalProcessor(t *testing.T) {
	b := newBookinfo(t)
	server := grpc.NewServer()
	extprocv3.RegisterExternalProcessorServer(server, processing{})
	l := b.limiter.Listen("0.0.0.0:8082")
	go func() { _ = server.Serve(l) }()
	b.push(insertedBefore(`{name: envoy.filters.http.ext_proc, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor, message_timeout: 10s,
    grpc_service: {envoy_grpc: {cluster_name: outside}, timeout: 10s}, processing_mode: {request_header_mode: SEND, response_header_mode: SEND}}}`) + "  - " + processor)
	r, body := b.call(toPage, "/processed")
	if !strings.Contains(body, "header X-Processed=/processed\n") || r.Header.Get("x-processed") != "answer" {
		t.Errorf("%v %s", r.Header, body)
	}
	if r, body := b.call(toPage, "/forbidden"); r.StatusCode != 451 || body != "not here" {
		t.Errorf("%s %q", r.Status, body)
	}
	server.Stop()
	if r, _ := b.call(toPage, "/processed"); r.StatusCode != 500 {
		t.Errorf("without the server, which is to close: %s", r.Status)
	}
}

// processing marks both ways, and forbids a path.
type processing struct {
	extprocv3.UnimplementedExternalProcessorServer
}

func (processing) Process(s extprocv3.ExternalProcessor_ProcessServer) error {
	for {
		r, err := s.Recv()
		if err != nil {
			return nil //nolint:nilerr // the call is over
		}
		set := func(value string) *extprocv3.CommonResponse {
			return &extprocv3.CommonResponse{HeaderMutation: &extprocv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{
				{Header: &corev3.HeaderValue{Key: "x-processed", RawValue: []byte(value)}},
			}}}
		}
		out := &extprocv3.ProcessingResponse{}
		switch {
		case r.GetRequestHeaders() != nil:
			path := ""
			for _, h := range r.GetRequestHeaders().GetHeaders().GetHeaders() {
				if h.GetKey() == ":path" {
					path = string(h.GetRawValue())
				}
			}
			out.Response = &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{Response: set(path)}}
			if path == "/forbidden" {
				out.Response = &extprocv3.ProcessingResponse_ImmediateResponse{ImmediateResponse: &extprocv3.ImmediateResponse{
					Status: &typev3.HttpStatus{Code: 451}, Body: []byte("not here"),
				}}
			}
		default:
			out.Response = &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{Response: set("answer")}}
		}
		if err := s.Send(out); err != nil {
			return err
		}
	}
}

// TestAccessLogAndTap are told of calls: a log server by the protocol of Envoy's
// access logs, and a file by the filter that taps.
func TestAccessLogAndTap(t *testing.T) {
	b := newBookinfo(t)
	logged := make(chan *datav3.HTTPAccessLogEntry, 100)
	server := grpc.NewServer()
	accesslogv3.RegisterAccessLogServiceServer(server, logging{to: logged})
	l := b.limiter.Listen("0.0.0.0:8082")
	go func() { _ = server.Serve(l) }()
	dir, err := os.MkdirTemp("", "tap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // Envoy runs as another user
		t.Fatal(err)
	}
	b.push(insertedBefore(`{name: envoy.filters.http.tap, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.tap.v3.Tap,
    common_config: {static_config: {match: {http_request_headers_match: {headers: [{name: x-tap, exact_match: "yes"}]}}, output_config: {sinks: [{format: JSON_BODY_AS_STRING, file_per_tap: {path_prefix: `+dir+`/tap}}]}}}}}`) +
		"  - " + processor + `  - {applyTo: NETWORK_FILTER, match: {context: SIDECAR_INBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}, patch: {operation: MERGE, value: {typed_config: {
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, access_log: [{name: mine, typed_config: {
      "@type": type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig, common_config: {log_name: mine, buffer_flush_interval: 0.1s, transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: outside}}}}}]}}}}
`)
	b.call(toPage, "/plain")
	b.call(toPage, "/tapped", "x-tap", "yes")
	// Each of Envoy's threads sends its own log, so which comes first isn't said.
	of := map[string]uint32{}
	for len(of) < 2 {
		select {
		case e := <-logged:
			of[e.GetRequest().GetPath()] = e.GetResponse().GetResponseCode().GetValue()
		case <-time.After(eventually):
			t.Fatalf("logged is %v only", of)
		}
	}
	if of["/plain"] != 200 || of["/tapped"] != 200 {
		t.Errorf("logged are %v", of)
	}
	deadline, tick := time.After(eventually), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		files, _ := filepath.Glob(dir + "/tap*")
		if len(files) == 1 {
			if text, _ := os.ReadFile(files[0]); strings.Contains(string(text), `"/tapped"`) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("tapped are %v, want one file with the call", files)
		}
	}
}

type logging struct {
	accesslogv3.UnimplementedAccessLogServiceServer
	to chan<- *datav3.HTTPAccessLogEntry
}

func (l logging) StreamAccessLogs(s accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return nil //nolint:nilerr // the proxy ends
		}
		for _, e := range m.GetHttpLogs().GetLogEntry() {
			l.to <- e
		}
	}
}

// TestListenerAndNetworkFilters patches what is below HTTP: PROXY protocol for
// what comes in, and a limit of connections.
func TestListenerAndNetworkFilters(t *testing.T) {
	b := newBookinfo(t)
	b.push(`apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: below, namespace: istio-system}
spec:
  workloadSelector: {labels: {istio: ingressgateway}}
  configPatches:
  - {applyTo: LISTENER_FILTER, match: {context: GATEWAY, listener: {portNumber: 8080}}, patch: {operation: INSERT_FIRST, value: {name: envoy.filters.listener.proxy_protocol, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}}}
  - {applyTo: NETWORK_FILTER, match: {context: GATEWAY, listener: {portNumber: 8080, filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}, patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.network.connection_limit, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: x, max_connections: 1}}}}
`)
	ask := func() (string, net.Conn) {
		c, err := b.client.Dial(throughGateway)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(eventually))
		_, _ = fmt.Fprintf(c, "PROXY TCP4 192.0.2.77 192.0.2.1 1000 80\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n")
		answer := make([]byte, 16<<10)
		n := 0
		for n < len(answer) {
			// The whole line.
			if _, line, ok := strings.Cut(string(answer[:n]), "header X-Forwarded-For="); ok && strings.Contains(line, "\n") {
				break
			}
			m, err := c.Read(answer[n:])
			if n += m; err != nil {
				break
			}
		}
		return string(answer[:n]), c
	}
	got, first := ask()
	defer first.Close()
	if !strings.Contains(got, "header X-Forwarded-For=192.0.2.77") {
		t.Errorf("through PROXY protocol: %q", got)
	}
	got, second := ask()
	defer second.Close()
	if got != "" {
		t.Errorf("a second connection is taken: %q", got)
	}
}
