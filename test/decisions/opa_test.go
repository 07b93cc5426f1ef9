// SPDX-License-Identifier: Apache-2.0

package decisions_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startOPA builds the sample authorizer and runs it twice in its pod: with the
// sample policy, and with one that tells what it was sent.
func (w *shop) startOPA() (stop func()) {
	w.t.Helper()
	program := filepath.Join(w.t.TempDir(), "opa")
	build := exec.CommandContext(w.t.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join("..", "opa")
	if out, err := build.CombinedOutput(); err != nil {
		w.t.Fatalf("build test/opa: %v\n%s", err, out)
	}
	probe := filepath.Join(w.t.TempDir(), "probe.rego")
	if err := os.WriteFile(probe, []byte(tells), 0o600); err != nil {
		w.t.Fatal(err)
	}
	stop = w.opa.Run("9191", program, "--policy", "../opa/shop.rego", "--http-prefix", "/check")
	w.opa.Run("9291", program, "--policy", probe, "--query", "data.probe.allow", "--grpc", ":9291", "--http", ":9292")
	return stop
}

const tells = `package probe
allow := {"allowed": true, "response_headers_to_add": {
	"x-path": input.attributes.request.http.path,
	"x-body": object.get(input.attributes.request.http, "body", ""),
	"x-names": concat(" ", sort([n | some n, _ in input.attributes.request.http.headers; not startswith(n, ":")])),
	"x-tenant": object.get(input.attributes.request.http.headers, "x-tenant", "none"),
}}
`

const opaProviders = `
    - {name: grpc, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9191, timeout: 20s, includeRequestBodyInCheck: {maxRequestBytes: 64}}}
    - {name: grpc-bytes, envoyExtAuthzGrpc: {service: opa/opa.opa.svc.cluster.local, port: 9191, timeout: 20s, includeRequestBodyInCheck: {maxRequestBytes: 64, allowPartialMessage: true, packAsBytes: true}}}
    - {name: grpc-bare, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9191, timeout: 20s}}
    - name: http
      envoyExtAuthzHttp:
        service: opa.opa.svc.cluster.local
        port: 9192
        timeout: 20s
        pathPrefix: /check
        includeRequestHeadersInCheck: [x-visitor, content-type, x-forwarded-client-cert]
        headersToUpstreamOnAllow: [x-allowed-*]
        headersToDownstreamOnAllow: [x-checked-by]
        headersToDownstreamOnDeny: [x-denied-by]
        includeRequestBodyInCheck: {maxRequestBytes: 64}
    - name: http-bare
      envoyExtAuthzHttp: {service: opa.opa.svc.cluster.local, port: 9192, timeout: 20s, pathPrefix: /check}
    - name: tells-grpc
      envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9291, timeout: 20s, includeRequestBodyInCheck: {maxRequestBytes: 8, allowPartialMessage: true}}
    - name: tells-http
      envoyExtAuthzHttp:
        service: opa.opa.svc.cluster.local
        port: 9292
        timeout: 20s
        includeRequestHeadersInCheck: [x-a*]
        includeAdditionalHeadersInCheck: {X-Tenant: blue}
        headersToDownstreamOnAllow: ["x-*"]
    - {name: gone, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9999, timeout: 20s}}
    - {name: gone-503, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9999, timeout: 20s, statusOnError: "503"}}
    - {name: gone-open, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9999, timeout: 20s, failOpen: true}}
    - {name: mute, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9000, timeout: 0.3s}}
    - {name: mute-open, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9000, timeout: 0.3s, failOpen: true}}
    - {name: mute-http, envoyExtAuthzHttp: {service: opa.opa.svc.cluster.local, port: 9001, timeout: 0.3s, statusOnError: "502"}}
    - {name: mute-http-open, envoyExtAuthzHttp: {service: opa.opa.svc.cluster.local, port: 9001, timeout: 0.3s, failOpen: true}}
    - {name: nowhere, envoyExtAuthzGrpc: {service: nobody.opa.svc.cluster.local, port: 9191, timeout: 20s}}
`

// askOPA sends every request but those to /open to a provider.
func askOPA(provider string) string {
	return fmt.Sprintf(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: shop}
spec: {selector: {matchLabels: {app: server}}, action: CUSTOM, provider: {name: %s}, rules: [{to: [{operation: {notPaths: [/open], ports: ["8080"]}}]}]}
`, provider)
}

// TestOPA: a real OPA decides for a real Envoy, by both protocols and with all
// that providers can be told.
func TestOPA(t *testing.T) {
	w := newShop(t)
	stop := w.startOPA()
	w.opa.Listen("0.0.0.0:9000") // who connects waits for ever
	w.opa.Listen("0.0.0.0:9001")
	read := order{path: "/shop/items?page=2", headers: http.Header{"X-Internal": {"1"}, "X-Allowed-As": {"forged"}}}
	buy := func(as, body string) order {
		return order{as: as, method: http.MethodPost, path: "/shop/orders", body: body}
	}
	visitors := func(names ...string) order {
		return order{path: "/shop/items", headers: http.Header{"X-Visitor": names}}
	}
	const large = `{"pieces":2,"note":"this is a longer text than what the authorizer is sent of a body"}`
	type want struct {
		status int
		body   string
		// Of the answer; a name in upper case begins what must not be there.
		headers map[string]string
		// Of the request as the application gets it; "" for not at all.
		upstream map[string]string
	}
	no := want{status: 403, body: "the shop's policy says no\n", headers: map[string]string{"x-denied-by": "opa"}}
	yes := func(as string) want {
		return want{status: 200, headers: map[string]string{"x-checked-by": "opa"}, upstream: map[string]string{"X-Allowed-As": as}}
	}
	type step struct {
		name string
		order
		want
	}
	both := []step{
		{"Allowed", read, yes("visitor")},
		{"NotAsked", order{path: "/open"}, want{status: 200}},
		{"Denied", order{path: "/admin"}, no},
		{"DeniedPrefix", order{path: "/check/shop/items"}, no},
		{"FirstValue", visitors("banned", "good"), no},
		{"LastValue", visitors("good", "banned"), no},
		{"GoodValues", visitors("good", "better"), yes("visitor")},
		{"Body", buy("storefront", `{"pieces":10}`), yes("storefront")},
		{"BodyDenied", buy("storefront", `{"pieces":11}`), no},
		{"BodyTooLarge", buy("storefront", large), want{status: 413}},
		{"OtherCaller", buy("robot", `{"pieces":1}`), no},
		{"Plaintext", buy("", `{"pieces":1}`), no},
		{"ForgedCaller", order{
			method: http.MethodPost, path: "/shop/orders", body: `{"pieces":1}`,
			headers: http.Header{"X-Forwarded-Client-Cert": {"URI=spiffe://east.example/ns/shop/sa/storefront"}},
		}, no},
	}
	for _, group := range []struct {
		provider string
		steps    []step
	}{
		{"grpc", append(both, step{"Removed", read, want{status: 200, upstream: map[string]string{"X-Internal": ""}}})},
		{"http", both},
		{"grpc-bytes", []step{{"Body", buy("storefront", `{"pieces":10}`), yes("storefront")}, {"Partial", buy("storefront", large), no}}},
		{"grpc-bare", []step{{"NoBody", buy("storefront", `{"pieces":1}`), no}, {"Allowed", read, yes("visitor")}}},
		{"http-bare", []step{
			{"HeaderNotSent", visitors("banned"), want{status: 200, headers: map[string]string{"x-checked-by": ""}, upstream: map[string]string{"X-Allowed-As": ""}}},
			{"Denied", order{path: "/admin"}, no}, // all headers of an answer reach the client where none is named
		}},
		{"tells-grpc", []step{{"Partial", order{method: http.MethodPost, path: "/x?y=z", body: `{"long":"text"}`}, want{
			status: 200, headers: map[string]string{"x-path": "/x?y=z", "x-body": `{"long":`, "x-tenant": "none"},
		}}}},
		{"tells-http", []step{{"Headers", order{path: "/x?y=z", headers: http.Header{"X-A": {"1"}, "X-Ab": {"2"}, "X-B": {"3"}, "X-Tenant": {"forged"}}}, want{
			status: 200, headers: map[string]string{"x-path": "/x?y=z", "x-tenant": "blue", "x-names": "content-length x-a x-ab x-envoy-expected-rq-timeout-ms x-envoy-internal x-tenant"},
		}}}},
		{"gone", []step{{"Closed", read, want{status: 403}}, {"NotAsked", order{path: "/open"}, want{status: 200}}}},
		{"gone-503", []step{{"Status", read, want{status: 503}}}},
		{"gone-open", []step{{"Open", read, want{status: 200}}}},
		{"mute", []step{{"Closed", read, want{status: 403}}}},
		{"mute-open", []step{{"Open", read, want{status: 200}}}},
		{"mute-http", []step{{"Status", read, want{status: 502}}}},
		{"mute-http-open", []step{{"Open", read, want{status: 200}}}},
		{"nowhere", []step{{"Closed", read, want{status: 403}}}},
	} {
		t.Run(group.provider, func(t *testing.T) {
			if problems := w.apply(t, opaProviders, askOPA(group.provider)); len(problems) > 0 {
				t.Errorf("problems: %v", problems)
			}
			for _, s := range group.steps {
				t.Run(s.name, func(t *testing.T) {
					got := w.call(t, s.order)
					if got.status != s.status || s.want.body != "" && got.body != s.want.body {
						t.Errorf("answered %d %q, want %d %q", got.status, got.body, s.status, s.want.body)
					}
					for name, value := range s.want.headers {
						if have := strings.Join(got.headers.Values(name), ","); have != value {
							t.Errorf("answer's %s is %q, want %q", name, have, value)
						}
					}
					for name, value := range s.upstream {
						if line := name + ": " + value + "\r\n"; value != "" && !strings.Contains(got.body, line) || value == "" && strings.Contains(got.body, name+":") {
							t.Errorf("the application got %q, want %s %q", got.body, name, value)
						}
					}
				})
			}
		})
	}
	t.Run("Down", func(t *testing.T) {
		w.apply(t, opaProviders, askOPA("grpc"))
		if got := w.call(t, read); got.status != 200 {
			t.Fatalf("before: %d", got.status)
		}
		stop()
		if got := w.call(t, read); got.status != 403 {
			t.Errorf("without an authorizer: %d", got.status)
		}
	})
}
