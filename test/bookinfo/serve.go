// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// patientWith is how long a client may take to send a request's headers. It counts from when a
// connection is opened, and a proxy opens some that it needs only later: one that is closed just
// when a request is put on it loses that request.
const patientWith = time.Hour

// drain is how long requests may go on when a server is told to end.
const drain = 10 * time.Second

// serve answers HTTP on the port that the first argument names, or on the given
// one, until the context ends.
func serve(ctx context.Context, p process, name, port string, handler http.Handler) int {
	if len(p.args) > 0 {
		port = p.args[0]
	}
	return serveTLS(ctx, p, name, port, handler, nil)
}

// serveTLS answers HTTPS, or HTTP if there is no configuration of TLS.
func serveTLS(ctx context.Context, p process, name, port string, handler http.Handler, secured *tls.Config) int {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", port))
	if err != nil {
		fmt.Fprintf(p.stderr, "%s: %v\n", name, err)
		return 1
	}
	fmt.Fprintf(p.stdout, "%s answers on %s\n", name, listener.Addr())
	if secured != nil {
		listener = tls.NewListener(listener, secured)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: patientWith}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		err = server.Shutdown(ending)
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintf(p.stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// answerJSON writes a value as the whole answer.
func answerJSON(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// If the client is gone there is nobody to tell.
	_, _ = w.Write(text)
}

// failure is how the services say what is wrong.
func failure(text string) map[string]string { return map[string]string{"error": text} }

// health answers probes.
func health(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, map[string]string{"status": text})
	}
}
