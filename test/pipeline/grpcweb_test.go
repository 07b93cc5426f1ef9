// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// TestGRPCWeb: what a browser can send reaches a server of gRPC, by each proxy that
// turns one into the other, and the answer comes back as browsers read it.
func TestGRPCWeb(t *testing.T) {
	b := newBookinfo(t)
	answersHealth(t, b.limiter, "0.0.0.0:50051")
	answersHealth(t, b.pod, "0.0.0.0:9090")
	for _, protocol := range []string{"GRPC-WEB", "GRPC"} {
		b.mesh = mesh(t, strings.ReplaceAll(productpage, "in=9080/HTTP", "in=9090/"+protocol)+`
service default/health vip=10.96.0.9 port=50051/GRPC
endpoint default/health:50051 10.244.0.40:50051 plain
`)
		b.mesh.Workloads[0].Inbound[0].ServicePort, b.mesh.Workloads[1].Inbound[0].ServicePort = 9090, 80
		b.push("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: web, namespace: default}\n" +
			"spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8081, name: web, protocol: " + protocol + "}, hosts: [\"*\"]}]}\n---\n" +
			"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: default}\n" +
			"spec: {hosts: [\"*\"], gateways: [web], http: [{route: [{destination: {host: health, port: {number: 50051}}}]}]}\n")
		for name, address := range map[string]string{"a sidecar's port": "10.244.0.20:9090", "a gateway's server": "10.244.0.30:8081"} {
			for _, text := range []bool{false, true} {
				contentType, body := askHealth(t, b.client, address, text)
				is := contentType != "" && bytes.HasPrefix(body, serving) && bytes.Contains(body, []byte("grpc-status:0"))
				if want := protocol == "GRPC-WEB"; is != want {
					t.Errorf("%s of protocol %s, as text %v: %q %q, want it bridged: %v", name, protocol, text, contentType, body, want)
				}
			}
		}
	}
}

// TestGRPCWebOfCallers: a sidecar bridges for its caller what goes to a service of
// that protocol, and only that.
func TestGRPCWebOfCallers(t *testing.T) {
	y := newYard(t, "a")
	answersHealth(t, y.pods["a"].pod, "0.0.0.0:50051")
	y.push(service("health", 1, "80/GRPC-WEB", "10.244.1.1:50051")+service("native", 2, "80/HTTP", "10.244.1.1:8080"), "")
	y.pods["a"].answers(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Content-Type")) })
	asWeb := func(r *http.Request) {
		r.Method, r.Body, r.ContentLength = http.MethodPost, io.NopCloser(bytes.NewReader(nothing)), int64(len(nothing))
		r.URL.Path = "/grpc.health.v1.Health/Check"
		r.Header.Set("Content-Type", "application/grpc-web+proto")
	}
	if got := y.get("health", asWeb); !strings.HasPrefix(got.body, string(serving)) || got.header.Get("Content-Type") != "application/grpc-web+proto" {
		t.Errorf("%d %v %q", got.status, got.header, got.body)
	}
	if got := y.get("native", asWeb); got.body != "application/grpc-web+proto" {
		t.Errorf("another service of the port is sent %q", got.body)
	}
}

// nothing is a message without content, and serving what a healthy server answers.
var (
	nothing = []byte{0, 0, 0, 0, 0}
	serving = []byte{0, 0, 0, 0, 2, 8, 1}
)

// answersHealth makes a pod a server of gRPC's own health service.
func answersHealth(t *testing.T, p *rig.Pod, address string) {
	t.Helper()
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, health.NewServer())
	l := p.Listen(address)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
}

// askHealth asks for it once as a browser does, and returns what kind of gRPC-Web
// comes back, if any, and its bytes.
func askHealth(t *testing.T, from *rig.Pod, address string, text bool) (string, []byte) {
	t.Helper()
	contentType, body := "application/grpc-web+proto", nothing
	if text {
		contentType, body = "application/grpc-web-text", []byte(base64.StdEncoding.EncodeToString(nothing))
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/grpc.health.v1.Health/Check", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Grpc-Web", "1")
	r.Close = true
	resp, got := do(t, client(from), r)
	is := resp.Header.Get("Content-Type")
	if !strings.HasPrefix(is, "application/grpc-web") {
		return "", []byte(got)
	}
	if !text {
		return is, []byte(got)
	}
	// Each piece of the answer is encoded by itself.
	var out []byte
	for part := range strings.SplitAfterSeq(got, "=") {
		for len(part) > 0 {
			n := min(len(part), 4)
			b, err := base64.StdEncoding.DecodeString(part[:n])
			if err != nil {
				return is, []byte(got)
			}
			out, part = append(out, b...), part[n:]
		}
	}
	return is, out
}
