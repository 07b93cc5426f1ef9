// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// policyOf a text of Rego; the sample's when it is empty.
func policyOf(t *testing.T, text string) *Policy {
	t.Helper()
	file := "shop.rego"
	if text != "" {
		file = filepath.Join(t.TempDir(), "p.rego")
		if err := os.WriteFile(file, []byte("package envoy.authz\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := load(t.Context(), []string{file}, "data.envoy.authz.allow")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func get(path string, headers map[string]string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Path: path, Headers: headers},
	}}}
}

func TestDecisions(t *testing.T) {
	const object = `allow := {"allowed": true, "headers": {"x-one": "1", "x-two": ["1", "2"]}, "request_headers_to_remove": "x-gone"}`
	for name, test := range map[string]struct {
		policy string
		call   *authv3.CheckRequest
		want   Decision
	}{
		"Boolean":       {`allow if input.parsed_path == ["a b", "c"]`, get("/a%20b/c?x", nil), Decision{Allowed: true, Status: 403}},
		"Query":         {`allow if input.parsed_query.x == ["1", "2"]`, get("/?x=1&x=2", nil), Decision{Allowed: true, Status: 403}},
		"DoubleSlash":   {`allow if input.parsed_path == ["evil", "x"]`, get("//evil/x", nil), Decision{Allowed: true, Status: 403}},
		"Undefined":     {`allow if input.parsed_path == ["c"]`, get("/", nil), refused},
		"False":         {`allow := false`, get("/", nil), refused},
		"Number":        {`allow := 1`, get("/", nil), refused},
		"Failing":       {`allow if to_number(input.attributes.request.http.path) == 1`, get("/", nil), refused},
		"Contradiction": {"allow := {\"allowed\": true} if true\nallow := {\"allowed\": false} if true", get("/", nil), refused},
		"WrongStatus":   {`allow := {"allowed": true, "http_status": 99}`, get("/", nil), refused},
		"WrongHeaders":  {`allow := {"allowed": true, "headers": {"x": 1}}`, get("/", nil), refused},
		"WrongPath":     {`allow := true`, get("/%zz", nil), refused},
		"WrongBody": {`allow := true`, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Path: "/", Body: "{", Headers: map[string]string{"content-type": "application/json"}},
		}}}, refused},
		"Connection": {`allow if not input.attributes.request`, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{}}, Decision{Allowed: true, Status: 403}},
		"Object": {object, get("/", nil), Decision{
			Allowed: true, Status: 403, Headers: http.Header{"X-One": {"1"}, "X-Two": {"1", "2"}}, Remove: []string{"x-gone"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := policyOf(t, test.policy).on(t.Context(), test.call)
			if test.want.Allowed != got.Allowed {
				t.Fatalf("allowed is %t", got.Allowed)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWrongPolicy(t *testing.T) {
	for name, args := range map[string][]string{
		"None":    {},
		"Missing": {"--policy", "nothing.rego"},
		"Query":   {"--policy", "shop.rego", "--query", "data..allow"},
		"Flag":    {"--polcy", "shop.rego"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(t.Context(), args); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	for xfcc, want := range map[string]string{
		"": "",
		`By=spiffe://x;Hash=1;Subject="";URI=spiffe://a/ns/b/sa/c`:                             "spiffe://a/ns/b/sa/c",
		`By=spiffe://x;URI=spiffe://first,By=spiffe://x;Hash=1;Subject="";URI=spiffe://second`: "spiffe://second",
		`Hash=1;Subject="CN=a,URI=spiffe://forged";URI=spiffe://true`:                          "spiffe://true",
		`Hash=1;Subject="CN=\",URI=spiffe://forged"`:                                           "",
	} {
		if got := identity(xfcc); got != want {
			t.Errorf("%s is of %q, want %q", xfcc, got, want)
		}
	}
}

// TestServe: both protocols, over the wire.
func TestServe(t *testing.T) {
	policy, first, second := policyOf(t, ""), listen(t), listen(t)
	rpc, web := first.Addr().String(), second.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- serve(ctx, policy, first, second, "/check") }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	conn, err := grpc.NewClient(rpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	deadline, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if h, err := healthv1.NewHealthClient(conn).Check(deadline, &healthv1.HealthCheckRequest{}); err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("health is %v: %v", h, err)
	}
	client := authv3.NewAuthorizationClient(conn)
	yes, err := client.Check(deadline, get("/shop/x", nil))
	if err != nil || yes.GetStatus().GetCode() != 0 || yes.GetOkResponse().GetHeaders()[0].GetHeader().GetValue() != "visitor" ||
		yes.GetOkResponse().GetHeaders()[0].GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD ||
		!cmp.Equal(yes.GetOkResponse().GetHeadersToRemove(), []string{"x-internal"}) {
		t.Errorf("answered %v: %v", yes, err)
	}
	no, err := client.Check(deadline, get("/x", nil))
	if err != nil || no.GetStatus().GetCode() != 7 || no.GetDeniedResponse().GetBody() == "" || no.GetDeniedResponse().GetStatus().GetCode() != 403 {
		t.Errorf("answered %v: %v", no, err)
	}
	for path, want := range map[string]int{"/check/shop/x": 200, "/check/x": 403, "/shop/x": 403} {
		r, err := http.NewRequestWithContext(deadline, http.MethodGet, "http://"+web+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(reply.Body)
		_ = reply.Body.Close()
		if reply.StatusCode != want || strings.HasPrefix(path, "/check") && (want == 403) != (string(body) != "") {
			t.Errorf("%s: %d %q, want %d", path, reply.StatusCode, body, want)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
