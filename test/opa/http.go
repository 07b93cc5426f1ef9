// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// handler is the HTTP authorizer: it is sent the call itself, with the headers
// and the body that the provider includes. 200 allows it, any other answer is
// the client's.
type handler struct {
	policy *Policy
	prefix string
}

// maxBody is more than an Envoy sends by default.
const maxBody = 4 << 20

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := refused
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	path, ours := strings.CutPrefix(r.RequestURI, h.prefix)
	if err == nil && ours {
		d = h.policy.on(r.Context(), describe(r, path, string(body)))
	}
	for _, headers := range []http.Header{d.Headers, d.ResponseHeaders} {
		for name, values := range headers {
			w.Header()[name] = values
		}
	}
	if d.Allowed {
		return // an answer with 200
	}
	w.WriteHeader(d.Status)
	_, _ = io.WriteString(w, d.Body)
}

// describe the call as Envoy does by gRPC. All values of a header count. Of the
// caller an HTTP authorizer knows what Envoy writes into
// x-forwarded-client-cert, if the provider includes it.
func describe(r *http.Request, path, body string) *authv3.CheckRequest {
	headers := map[string]string{":method": r.Method, ":path": path, ":authority": r.Host}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Principal: identity(headers["x-forwarded-client-cert"])},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: r.Method, Path: path, Host: r.Host, Headers: headers, Body: body,
		}},
	}}
}

// identity of the caller: its URI in the last entry, which is the proxy's own.
// What stands in quotes is the certificate's text and separates nothing.
func identity(xfcc string) string {
	quoted, escaped := false, false
	fields := []string{""}
	for _, r := range xfcc {
		last := len(fields) - 1
		switch {
		case quoted && !escaped && r == '\\':
			escaped = true
			continue
		case r == '"' && !escaped:
			quoted = !quoted
		case r == ',' && !quoted:
			fields = []string{""}
		case r == ';' && !quoted:
			fields = append(fields, "")
		default:
			fields[last] += string(r)
		}
		escaped = false
	}
	for _, field := range fields {
		if uri, ok := strings.CutPrefix(field, "URI="); ok {
			return uri
		}
	}
	return ""
}
