// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// runHTTPBin answers with what it was asked: the paths of httpbin that the
// tasks of Istio's documentation use.
func runHTTPBin(ctx context.Context, p process) int {
	return serve(ctx, p, "httpbin", p.or("PORT", "8080"), httpbin())
}

func httpbin() http.Handler {
	mux := http.NewServeMux()
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		mux.HandleFunc(method+" /"+strings.ToLower(method), tellRequest)
	}
	mux.HandleFunc("/anything", tellRequest)
	mux.HandleFunc("/anything/", tellRequest)
	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, http.StatusOK, map[string]any{"headers": allHeaders(r)})
	})
	mux.HandleFunc("GET /ip", func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, http.StatusOK, map[string]string{"origin": origin(r)})
	})
	mux.HandleFunc("GET /user-agent", func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, http.StatusOK, map[string]string{"user-agent": r.UserAgent()})
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil || code < 200 || code > 599 {
			answerJSON(w, http.StatusBadRequest, failure("want a status from 200 to 599"))
			return
		}
		w.WriteHeader(code)
	})
	mux.HandleFunc("/delay/{seconds}", delayAnswer)
	mux.HandleFunc("GET /response-headers", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
		answerJSON(w, http.StatusOK, r.URL.Query())
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "httpbin") })
	return mux
}

// delayAnswer waits for as many seconds as the path says, at most ten.
func delayAnswer(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.ParseFloat(strings.TrimSuffix(r.PathValue("seconds"), "s"), 64)
	if err != nil || seconds < 0 || seconds > 10 {
		answerJSON(w, http.StatusBadRequest, failure("want a delay of 0 to 10 seconds"))
		return
	}
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
		tellRequest(w, r)
	case <-r.Context().Done():
	}
}

func tellRequest(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		answerJSON(w, http.StatusBadRequest, failure(err.Error()))
		return
	}
	told := map[string]any{
		"args": r.URL.Query(), "headers": allHeaders(r), "method": r.Method, "origin": origin(r),
		"url": "http://" + r.Host + r.URL.RequestURI(),
	}
	if len(body) > 0 {
		told["data"] = string(body)
		if !utf8.Valid(body) {
			told["data"] = "data:application/octet-stream;base64," + base64.StdEncoding.EncodeToString(body)
		}
	}
	answerJSON(w, http.StatusOK, told)
}

// allHeaders are those of a request, the host among them.
func allHeaders(r *http.Request) http.Header {
	h := r.Header.Clone()
	h.Set("Host", r.Host)
	return h
}

// origin is who asked: whom the proxies before name first, or the peer.
func origin(r *http.Request) string {
	if first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ","); first != "" {
		return strings.TrimSpace(first)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
