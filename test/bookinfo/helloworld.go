// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
)

// runHelloworld answers with its version and with where it runs.
func runHelloworld(ctx context.Context, p process) int {
	return serve(ctx, p, "helloworld", "5000", helloworld(p.env("SERVICE_VERSION"), p.env("HOSTNAME")))
}

func helloworld(version, instance string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello version: %s, instance: %s\n", version, instance)
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "Helloworld is healthy")
	})
	return mux
}
