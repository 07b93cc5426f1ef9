// SPDX-License-Identifier: Apache-2.0

package wasm_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
	"github.com/isthmesh/isthmesh/controlplane/wasm"
	"github.com/isthmesh/isthmesh/test/proxywasm"
)

// anywhere permits the loopback, where the tests' servers are.
func anywhere(netip.Addr) error { return nil }

var module = proxywasm.Module{Header: "x-plugin", Value: "v1", Counter: "calls"}.Bytes()

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// start a fetcher; await waits for its result to be as wanted.
func start(t *testing.T, o wasm.Options) (*wasm.Fetcher, func(done func(wasm.Result) bool) wasm.Result) {
	t.Helper()
	if o.Permit == nil {
		o.Permit = anywhere
	}
	changed := make(chan struct{}, 1000)
	f := wasm.New(o, func() { changed <- struct{}{} })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return f, func(done func(wasm.Result) bool) wasm.Result {
		t.Helper()
		late := time.After(90 * time.Second)
		for {
			if r := f.Result(); done(r) {
				return r
			}
			select {
			case <-changed:
			case <-late:
				t.Fatalf("nothing came: %+v", f.Result().Failures)
			}
		}
	}
}

// one fetches a single module: its code, or the reason that there is none.
func one(t *testing.T, o wasm.Options, w extensions.Wanted) ([]byte, string) {
	t.Helper()
	o.Retry = time.Hour
	f, await := start(t, o)
	f.Want([]extensions.Wanted{w})
	r := await(func(r wasm.Result) bool { return r.Modules[w] != nil || r.Failures[w] != "" })
	if m := r.Modules[w]; m != nil {
		if m.SHA256 != sum(m.Code) {
			t.Errorf("the module is called %s", m.SHA256)
		}
		return m.Code, ""
	}
	return nil, r.Failures[w]
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func answering(t *testing.T, body []byte) string {
	return "http://" + serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })) + "/plugin.wasm"
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// TestImages: every way in which a module is packed in an image, by tag, by
// digest, with its checksum, and with each way to ask for credentials.
func TestImages(t *testing.T) {
	for _, packing := range []proxywasm.Packing{proxywasm.Docker, proxywasm.OCI, proxywasm.Artifact, proxywasm.Indexed} {
		for name, r := range map[string]*proxywasm.Registry{
			"Open": {}, "Password": {User: "u", Password: "p:w"}, "Token": {User: "u", Password: "p:w", Token: true}, "OpenToken": {Token: true},
		} {
			t.Run(string(packing)+name, func(t *testing.T) {
				digest := r.Push("team/plugin", "v1", packing, module)
				host := serve(t, r)
				o := wasm.Options{Plain: []string{host}}
				w := extensions.Wanted{}
				if r.User != "" {
					w.Namespace, w.Secret = "shop", "pull"
					auth := base64.StdEncoding.EncodeToString([]byte(r.User + ":" + r.Password))
					o.Secret = func(_ context.Context, namespace, name string) ([]byte, error) {
						if namespace != "shop" || name != "pull" {
							return nil, wasm.NotFound()
						}
						return fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth), nil
					}
				}
				for _, way := range []extensions.Wanted{
					{URL: ":v1"}, {URL: "@" + digest}, {URL: ":v1", SHA256: digest[len("sha256:"):]}, {URL: ":v1", SHA256: sum(module)},
				} {
					way.URL, way.Namespace, way.Secret = "oci://"+host+"/team/plugin"+way.URL, w.Namespace, w.Secret
					if got, failure := one(t, o, way); !bytes.Equal(got, module) {
						t.Errorf("%+v: %s", way, failure)
					}
				}
			})
		}
	}
}

// TestHTTP: a module by itself, packed, and with its checksum.
func TestHTTP(t *testing.T) {
	for name, test := range map[string]struct {
		body []byte
		sum  string
	}{
		"Plain": {module, ""}, "Checked": {module, sum(module)}, "Zipped": {zipped(module), ""},
		"ZippedChecked": {zipped(module), sum(zipped(module))}, "CheckedInside": {zipped(module), sum(module)},
	} {
		t.Run(name, func(t *testing.T) {
			if got, failure := one(t, wasm.Options{}, extensions.Wanted{URL: answering(t, test.body), SHA256: test.sum}); !bytes.Equal(got, module) {
				t.Error(failure)
			}
		})
	}
}

// TestFailures: each has its reason, which says what mends it.
func TestFailures(t *testing.T) {
	const secret = "content-that-must-not-show"
	locked := &proxywasm.Registry{User: "u", Password: "p", Token: true}
	locked.Push("team/plugin", "v1", proxywasm.OCI, module)
	open := &proxywasm.Registry{}
	open.Push("team/plugin", "v1", proxywasm.OCI, module)
	open.Push("team/not", "v1", proxywasm.OCI, []byte(secret))
	lockedAt, openAt := serve(t, locked), serve(t, open)
	hang := make(chan struct{})
	silent := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(func() { close(hang) })
	loop := "http://" + serve(t, http.RedirectHandler("/again", http.StatusFound))
	secure := httptest.NewTLSServer(http.RedirectHandler(loop, http.StatusFound))
	t.Cleanup(secure.Close)
	secrets := func(text string, err error) func(context.Context, string, string) ([]byte, error) {
		return func(context.Context, string, string) ([]byte, error) { return []byte(text), err }
	}
	pulling := extensions.Wanted{URL: "oci://" + lockedAt + "/team/plugin:v1", Namespace: "shop", Secret: "pull"}
	for name, test := range map[string]struct {
		want   extensions.Wanted
		secret func(context.Context, string, string) ([]byte, error)
		says   string
	}{
		"WrongChecksum":      {extensions.Wanted{URL: answering(t, module), SHA256: strings.Repeat("a", 64)}, nil, "its SHA-256 is " + sum(module) + " and not the one in spec.sha256"},
		"WrongImageChecksum": {extensions.Wanted{URL: "oci://" + openAt + "/team/plugin:v1", SHA256: strings.Repeat("a", 64)}, nil, "and not the one in spec.sha256"},
		"NoModule":           {extensions.Wanted{URL: answering(t, []byte(secret))}, nil, "no WebAssembly module"},
		"NoModuleInImage":    {extensions.Wanted{URL: "oci://" + openAt + "/team/not:v1"}, nil, "no WebAssembly module"},
		"DamagedGzip":        {extensions.Wanted{URL: answering(t, zipped(module)[:40])}, nil, "damaged"},
		"TooLarge":           {extensions.Wanted{URL: answering(t, append(bytes.Clone(module), make([]byte, 1<<20)...))}, nil, "more than 100000 bytes"},
		"Bomb":               {extensions.Wanted{URL: answering(t, zipped(make([]byte, 10<<20)))}, nil, "more than 100000 bytes"},
		"Silent":             {extensions.Wanted{URL: "http://" + silent}, nil, "in time"},
		"Status":             {extensions.Wanted{URL: "http://" + serve(t, http.NotFoundHandler())}, nil, "status 404"},
		"Redirects":          {extensions.Wanted{URL: loop}, nil, "redirects more than"},
		"ToLessSafe":         {extensions.Wanted{URL: secure.URL}, nil, "not as safe"},
		"NoName":             {extensions.Wanted{URL: "https://nowhere.invalid/p.wasm"}, nil, "can't be resolved"},
		"NobodyThere":        {extensions.Wanted{URL: "http://127.0.0.1:1/"}, nil, "can't be connected to"},
		"UnknownTag":         {extensions.Wanted{URL: "oci://" + openAt + "/team/plugin:v2"}, nil, "has no such image"},
		"NoTLS":              {extensions.Wanted{URL: "oci://" + strings.Replace(openAt, "127.0.0.1", "localhost", 1) + "/team/plugin:v1"}, nil, "--wasm-plain-registries"},
		"NoCredentials":      {extensions.Wanted{URL: "oci://" + lockedAt + "/team/plugin:v1"}, nil, "name it in spec.imagePullSecret"},
		"NoSecret":           {pulling, secrets("", wasm.NotFound()), "Secret shop/pull (spec.imagePullSecret): it isn't there"},
		"BadSecret":          {pulling, secrets(secret, nil), "docker-registry"},
		"OtherRegistry":      {pulling, secrets(`{"auths":{"registry.example":{"username":"u"}}}`, nil), "nothing for registry " + lockedAt},
		"WrongPassword":      {pulling, secrets(`{"auths":{"`+lockedAt+`":{"username":"u","password":"q"}}}`, nil), "refuses the credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := 30 * time.Second
			if name == "Silent" {
				timeout = 200 * time.Millisecond
			}
			trusted := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			got, failure := one(t, wasm.Options{
				Plain: []string{openAt, lockedAt}, Secret: test.secret, MaxBytes: 100_000, Timeout: timeout,
				TLS: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
			}, test.want)
			if got != nil || !strings.Contains(failure, test.says) || strings.Contains(failure, secret) {
				t.Errorf("%d bytes, %q; want %q", len(got), failure, test.says)
			}
		})
	}
}

// TestGuard: modules come neither from the loopback, nor the link, nor metadata,
// nor the API server, directly or by a redirect or a token server; but from
// private addresses, where registries of a cluster are.
func TestGuard(t *testing.T) {
	for name, url := range map[string]string{
		"Loopback": answering(t, module), "Metadata": "http://169.254.169.254/latest", "Mapped": "http://[::ffff:169.254.169.254]/",
		"Metadata6": "http://[fd00:ec2::254]/", "APIServer": "https://10.96.0.1/", "Image": "oci://169.254.169.254/a/b",
	} {
		t.Run(name, func(t *testing.T) {
			if got, failure := one(t, wasm.Options{Permit: wasm.Guard(netip.MustParsePrefix("10.96.0.1/32"))}, extensions.Wanted{URL: url}); got != nil || !strings.Contains(failure, "not fetched from") {
				t.Errorf("%d bytes, %q", len(got), failure)
			}
		})
	}
	guard := wasm.Guard()
	first := func(a netip.Addr) error {
		if a.IsLoopback() {
			return nil
		}
		return guard(a)
	}
	realm := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://169.254.169.254/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	for name, to := range map[string]struct{ url, says string }{
		"Redirect": {"http://" + serve(t, http.RedirectHandler("http://169.254.169.254/", http.StatusFound)), "not fetched from"},
		"Token":    {"oci://" + realm + "/a/b", "token server that is not asked"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, failure := one(t, wasm.Options{Permit: first, Plain: []string{realm}}, extensions.Wanted{URL: to.url}); got != nil || !strings.Contains(failure, to.says) {
				t.Errorf("%d bytes, %q", len(got), failure)
			}
		})
	}
	for _, a := range []string{"10.0.0.1", "192.168.1.1", "fd12::1", "192.0.2.1"} {
		if err := guard(netip.MustParseAddr(a)); err != nil {
			t.Error(err)
		}
	}
}

// TestPolicies: a module is fetched once; again when its object changed, if that
// is wanted, and meanwhile, or when that fails, the old one stays.
func TestPolicies(t *testing.T) {
	r := &proxywasm.Registry{}
	r.Push("p", "v1", proxywasm.Artifact, module)
	var broken atomic.Bool
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if broken.Load() {
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		r.ServeHTTP(w, q)
	}))
	metrics := prometheus.NewRegistry()
	f, await := start(t, wasm.Options{Plain: []string{host}, Retry: time.Millisecond, Registry: metrics})
	once := extensions.Wanted{URL: "oci://" + host + "/p:v1"}
	always := func(revision string) extensions.Wanted {
		w := once
		w.Revision = revision
		return w
	}
	f.Want([]extensions.Wanted{once, always("1")})
	first := await(func(x wasm.Result) bool { return x.Modules[once] != nil && x.Modules[always("1")] != nil })
	if first.Modules[once] != first.Modules[always("1")] {
		t.Error("one module is there twice")
	}
	second := proxywasm.Module{Header: "x-plugin", Value: "v2", Counter: "calls"}.Bytes()
	r.Push("p", "v1", proxywasm.Artifact, second)
	asked := r.Asked()
	broken.Store(true)
	f.Want([]extensions.Wanted{once, always("2")})
	got := await(func(x wasm.Result) bool { return x.Failures[always("2")] != "" })
	if !bytes.Equal(got.Modules[always("2")].Code, module) || !strings.Contains(got.Failures[always("2")], "503") {
		t.Errorf("while it can't be fetched again: %+v", got.Failures)
	}
	broken.Store(false)
	got = await(func(x wasm.Result) bool {
		return len(x.Failures) == 0 && bytes.Equal(x.Modules[always("2")].Code, second)
	})
	if !bytes.Equal(got.Modules[once].Code, module) || r.Asked() != asked+1 {
		t.Errorf("asked %d times", r.Asked()-asked)
	}
	if n := testutil.CollectAndCount(metrics, "isthmesh_wasm_fetches_total"); n != 2 {
		t.Errorf("%d results are counted", n)
	}
	if !f.Settled([]extensions.Wanted{once, always("2")}) || f.Settled([]extensions.Wanted{always("3")}) {
		t.Error("settled")
	}
	f.Want(nil)
	await(func(x wasm.Result) bool { return len(x.Modules)+len(x.Failures) == 0 })
}
