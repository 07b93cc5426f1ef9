// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// forwardedCert is the header in which a proxy tells whom the client proved
// to be.
const forwardedCert = "X-Forwarded-Client-Cert"

// Answer is what a server saw of one request.
type Answer struct {
	Hostname   string              `json:"hostname"`
	Version    string              `json:"version,omitempty"`
	Protocol   string              `json:"protocol"`
	Method     string              `json:"method,omitempty"`
	Host       string              `json:"host,omitempty"`
	Path       string              `json:"path,omitempty"`
	Headers    map[string][]string `json:"headers,omitempty"`
	RemoteAddr string              `json:"remoteAddr"`
	// At is when an HTTP request came in.
	At time.Time `json:"at,omitzero"`
	// Body is what a TCP client sent.
	Body string `json:"body,omitempty"`
}

// identities returns the SPIFFE identities in the forwarded certificates, in
// the order in which the proxies added them.
func (a Answer) identities() []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(a.Headers)) {
		if http.CanonicalHeaderKey(key) != forwardedCert {
			continue
		}
		for _, value := range a.Headers[key] {
			found = append(found, uris(value)...)
		}
	}
	return found
}

// uris takes the URI fields out of a value of X-Forwarded-Client-Cert:
// elements are parted by commas, their fields by semicolons; a value in double
// quotes may hold either.
func uris(value string) []string {
	var found []string
	for _, element := range splitQuoted(value, ',') {
		for _, field := range splitQuoted(element, ';') {
			key, uri, _ := strings.Cut(strings.TrimSpace(field), "=")
			if strings.EqualFold(key, "URI") && uri != "" {
				found = append(found, strings.Trim(uri, `"`))
			}
		}
	}
	return found
}

func splitQuoted(text string, separator rune) []string {
	quoted, escaped := false, false
	return strings.FieldsFunc(text, func(r rune) bool {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = quoted
		case r == '"':
			quoted = !quoted
		}
		return r == separator && !quoted
	})
}
