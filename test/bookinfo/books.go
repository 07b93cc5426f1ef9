// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

// runBooks stands in for Google's books service where there is no internet. It
// answers HTTPS only; its arguments are the port and the files of its
// certificate and key.
func runBooks(ctx context.Context, p process) int {
	if len(p.args) != 3 {
		fmt.Fprintln(p.stderr, "books: want PORT CERTIFICATE KEY")
		return 2
	}
	certificate, err := tls.LoadX509KeyPair(p.args[1], p.args[2])
	if err != nil {
		fmt.Fprintln(p.stderr, "books:", err)
		return 1
	}
	host, err := os.Hostname()
	if err != nil {
		fmt.Fprintln(p.stderr, "books:", err)
		return 1
	}
	return serveTLS(ctx, p, "books", p.args[0], books(host), &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate},
	})
}

// books knows one edition of one play; the publisher says which stand-in and by
// what name it was called.
func books(host string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /books/v1/volumes", func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if r.TLS != nil {
			name = r.TLS.ServerName
		}
		var answer volumes
		text := fmt.Sprintf(`{"items":[{"volumeInfo":{"authors":["William Shakespeare"],"publishedDate":"2002-05-28","pageCount":64,
			"publisher":%q,"printType":"BOOK","language":"en",
			"industryIdentifiers":[{"type":"ISBN_10","identifier":"0486424618"},{"type":"ISBN_13","identifier":"9780486424613"}]}}]}`,
			host+" as "+name)
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answerJSON(w, http.StatusOK, answer)
	})
	return mux
}
