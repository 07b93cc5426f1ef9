// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// carried are the headers that every service takes from the request it answers
// to those that it sends for it: what ties the spans of one trace together,
// whatever the tracing system, and what says who asks.
var carried = []string{
	"x-request-id",
	"traceparent", "tracestate", // W3C
	"b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", // Zipkin
	"x-ot-span-context",                                                        // Lightstep
	"x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", // Datadog
	"x-cloud-trace-context", "grpc-trace-bin", // Google
	"sw8", // SkyWalking
	"end-user", "user-agent", "cookie", "authorization", "jwt",
}

// forward returns what a request's headers carry on.
func forward(in http.Header) http.Header {
	out := http.Header{}
	for _, name := range carried {
		if values := in.Values(name); len(values) > 0 {
			out[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	return out
}

// fresh opens a connection for each request, so that one that is balanced by
// connection reaches all versions of a service.
var fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// fetch sends a GET and reads the whole answer.
func fetch(ctx context.Context, url string, headers http.Header, timeout time.Duration) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	request.Header = headers
	response, err := fresh.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20)); err != nil {
		return 0, nil, fmt.Errorf("read %s: %w", url, err)
	}
	return response.StatusCode, body, nil
}

// peer is where another service of Bookinfo is, as the variables
// SERVICES_DOMAIN, <NAME>_HOSTNAME and <NAME>_SERVICE_PORT say.
func peer(p process, name, variable string) string {
	host := p.or(variable+"_HOSTNAME", name)
	if domain := p.env("SERVICES_DOMAIN"); domain != "" {
		host += "." + domain
	}
	return "http://" + host + ":" + p.or(variable+"_SERVICE_PORT", "9080")
}
