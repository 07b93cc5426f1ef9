// SPDX-License-Identifier: Apache-2.0

package jwks_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/jwks"
)

const secret = "content-that-must-not-show"

// anywhere permits the loopback, where the tests' servers are.
func anywhere(netip.Addr) error { return nil }

// start a fetcher; next waits for its result to change to what is wanted.
func start(t *testing.T, o jwks.Options) (*jwks.Fetcher, func(done func(jwks.Result) bool) jwks.Result) {
	t.Helper()
	changed := make(chan struct{}, 100)
	f := jwks.New(o, func() { changed <- struct{}{} })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return f, func(done func(jwks.Result) bool) jwks.Result {
		t.Helper()
		late := time.After(90 * time.Second)
		for {
			if r := f.Result(); done(r) {
				return r
			}
			select {
			case <-changed:
			case <-late:
				t.Fatalf("nothing came: %+v", f.Result())
			}
		}
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// TestFetch: a key set is fetched, also by way of discovery, renewed, kept when
// it fails, and forgotten when nobody wants it any more.
func TestFetch(t *testing.T) {
	var version atomic.Int32
	var failing atomic.Bool
	var url string
	url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case failing.Load():
			http.Error(w, secret, http.StatusInternalServerError)
		case r.URL.Path == "/.well-known/openid-configuration":
			_, _ = fmt.Fprintf(w, `{"jwks_uri":%q}`, url+"/keys")
		default:
			_, _ = fmt.Fprintf(w, `{"keys":[{"kid":"%d"}]}`, version.Load())
		}
	})
	direct, discovered := url+"/keys", url+"/.well-known/openid-configuration"
	f, next := start(t, jwks.Options{Permit: anywhere, Refresh: 30 * time.Millisecond, Retry: time.Millisecond})
	f.Want([]security.Wanted{{URI: direct}, {URI: discovered}})
	has := func(kid string) func(jwks.Result) bool {
		return func(r jwks.Result) bool {
			return strings.Contains(r.Keys[direct], kid) && strings.Contains(r.Keys[discovered], kid) && len(r.Failures) == 0
		}
	}
	next(has(`"0"`))
	version.Store(1)
	next(has(`"1"`))
	failing.Store(true)
	r := next(func(r jwks.Result) bool { return len(r.Failures) == 2 })
	if !strings.Contains(r.Keys[direct], `"1"`) || strings.Contains(fmt.Sprint(r.Failures), secret) {
		t.Errorf("%+v", r)
	}
	failing.Store(false)
	next(has(`"1"`))
	f.Want(nil)
	next(func(r jwks.Result) bool { return len(r.Keys) == 0 && len(r.Failures) == 0 })
}

// TestOldKeysEnd: a key set that can't be renewed isn't used for ever.
func TestOldKeysEnd(t *testing.T) {
	var failing atomic.Bool
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		_, _ = fmt.Fprint(w, `{"keys":[]}`)
	})
	f, next := start(t, jwks.Options{Permit: anywhere, Refresh: 5 * time.Millisecond, Retry: time.Millisecond, MaxAge: time.Millisecond})
	f.Want([]security.Wanted{{URI: url}})
	next(func(r jwks.Result) bool { return len(r.Keys) == 1 })
	failing.Store(true)
	next(func(r jwks.Result) bool { return len(r.Keys) == 0 && strings.Contains(r.Failures[url], "502") })
}

// TestFailures: each has its reason, and none tells what was answered.
func TestFailures(t *testing.T) {
	answer := func(body string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, body) })
	}
	loop := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	hang := make(chan struct{})
	silent := serve(t, func(http.ResponseWriter, *http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	for name, test := range map[string]struct{ uri, want string }{
		"NotJSON":    {answer(secret), "something else than JSON"},
		"NoKeys":     {answer(`{"secret":"` + secret + `"}`), "neither a key set nor"},
		"TooLarge":   {answer(`{"keys":["` + strings.Repeat("x", 300<<10) + `"]}`), "more than"},
		"Redirects":  {loop, "redirects more than"},
		"Silent":     {silent, "in time"},
		"NoName":     {"http://nowhere.invalid/", "can't be resolved"},
		"Refused":    {"http://127.0.0.1:1/", "can't be connected"},
		"File":       {"file:///etc/passwd", "scheme"},
		"FileByJWKS": {answer(`{"jwks_uri":"file:///etc/passwd"}`), "scheme"},
		"Status":     {serve(t, http.NotFound), "status 404"},
		"BadRedirect": {serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "gopher://x/")
			w.WriteHeader(302)
		}), "scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			f, next := start(t, jwks.Options{Permit: anywhere, Retry: time.Hour})
			timeout := 30 * time.Second
			if name == "Silent" {
				timeout = 500 * time.Millisecond
			}
			f.Want([]security.Wanted{{URI: test.uri, Timeout: timeout}})
			r := next(func(r jwks.Result) bool { return len(r.Failures) > 0 })
			if got := r.Failures[test.uri]; !strings.Contains(got, test.want) || strings.Contains(got, secret) || len(r.Keys) > 0 {
				t.Errorf("%+v, want %q", r, test.want)
			}
		})
	}
}

// TestGuard is replay 13 of the issue (GHSA-fgw5-hp8f-xfhc): a jwksUri reaches
// neither the loopback, nor the link, nor metadata, nor the API server, directly, by a
// redirect, or by discovery.
func TestGuard(t *testing.T) {
	inside := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintf(w, `{"keys":[],"s":%q}`, secret) })
	port := inside[strings.LastIndex(inside, ":"):]
	for name, uri := range map[string]string{
		"Loopback": inside, "LoopbackByName": "http://localhost" + port, "LoopbackMapped": "http://[::ffff:127.0.0.1]" + port,
		"LoopbackOther": "http://127.8.9.1" + port, "Unspecified": "http://0.0.0.0" + port, "Loopback6": "http://[::1]" + port, "Decimal": "http://2130706433" + port,
		"Metadata": "http://169.254.169.254/latest/meta-data/", "MetadataMapped": "http://[::ffff:a9fe:a9fe]/", "MetadataNAT64": "http://[64:ff9b::a9fe:a9fe]/",
		"Metadata6To4": "http://[2002:a9fe:a9fe::]/", "Metadata6": "http://[fd00:ec2::254]/", "Link6": "http://[fe80::1%25lo]/", "APIServer": "https://10.96.0.1/",
	} {
		t.Run(name, func(t *testing.T) {
			f, next := start(t, jwks.Options{Permit: jwks.Guard(netip.MustParsePrefix("10.96.0.1/32")), Retry: time.Hour})
			f.Want([]security.Wanted{{URI: uri, Timeout: 30 * time.Second}})
			r := next(func(r jwks.Result) bool { return len(r.Failures) > 0 })
			refused := strings.Contains(r.Failures[uri], "not fetched from") || name == "Decimal" && strings.Contains(r.Failures[uri], "resolved")
			if !refused || len(r.Keys) > 0 {
				t.Errorf("%+v", r)
			}
		})
	}
	// The first server is permitted, what it leads to is not.
	front := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
			return
		}
		_, _ = fmt.Fprint(w, `{"jwks_uri":"http://169.254.169.254/"}`)
	})
	guard := jwks.Guard()
	permit := func(a netip.Addr) error {
		if a.IsLoopback() {
			return nil
		}
		return guard(a)
	}
	for _, path := range []string{"/redirect", "/discovery"} {
		t.Run("Via"+path, func(t *testing.T) {
			f, next := start(t, jwks.Options{Permit: permit, Retry: time.Hour})
			f.Want([]security.Wanted{{URI: front + path}})
			r := next(func(r jwks.Result) bool { return len(r.Failures) > 0 })
			if !strings.Contains(r.Failures[front+path], "169.254.169.254, which key sets are not fetched from") {
				t.Errorf("%+v", r)
			}
		})
	}
	if err := guard(netip.MustParseAddr("192.0.2.1")); err != nil {
		t.Error(err)
	}
}
