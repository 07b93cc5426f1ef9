// SPDX-License-Identifier: Apache-2.0

package probe_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/isthmesh/isthmesh/controlplane/agent/probe"
)

func port(t *testing.T, a net.Addr) int32 {
	t.Helper()
	return int32(netip.MustParseAddrPort(a.String()).Port())
}

// application answers probes as the paths say.
func application(t *testing.T, elsewhere string) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		from, _ := netip.ParseAddrPort(r.RemoteAddr)
		_, _ = fmt.Fprintf(w, "%s host=%s agent=%s x=%v from=%s", r.URL.RequestURI(), r.Host, r.UserAgent(), r.Header["X"], from.Addr())
	})
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusTeapot) })
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
	return mux
}

func TestHandler(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed to another host") }))
	defer elsewhere.Close()
	plain := httptest.NewServer(application(t, elsewhere.URL))
	defer plain.Close()
	secure := httptest.NewTLSServer(application(t, elsewhere.URL))
	defer secure.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	checks := health.NewServer()
	checks.SetServingStatus("up", healthv1.HealthCheckResponse_SERVING)
	checks.SetServingStatus("down", healthv1.HealthCheckResponse_NOT_SERVING)
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, checks)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	const nobody = 1 // one that was free a moment ago may be somebody's by now

	get := func(path string) *probe.Prober {
		return &probe.Prober{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port(t, plain.Listener.Addr()))}}
	}
	headers := get("/ok?a=b")
	headers.HTTPGet.HTTPHeaders = []corev1.HTTPHeader{{Name: "Host", Value: "reviews"}, {Name: "x", Value: "1"}, {Name: "X", Value: "2"}}
	tls := get("/ok")
	tls.HTTPGet.Scheme, tls.HTTPGet.Port = corev1.URISchemeHTTPS, intstr.FromInt32(port(t, secure.Listener.Addr()))
	grpcProbe := func(service *string) *probe.Prober {
		return &probe.Prober{GRPC: &corev1.GRPCAction{Port: port(t, listener.Addr()), Service: service}}
	}
	up, down, unknown := "up", "down", "unknown"

	cases := map[string]struct {
		prober *probe.Prober
		code   int
		body   string
	}{
		"OK":               {get("/ok"), 200, "/ok host=127.0.0.1"},
		"QueryAndHeaders":  {headers, 200, "/ok?a=b host=reviews agent=kube-probe/1.36 x=[1 2] from=127.0.0.6"},
		"TLS":              {tls, 200, "/ok"},
		"Bad":              {get("/bad"), 418, "broken"},
		"RedirectedInside": {get("/here"), 200, "/ok"},
		"RedirectedAway":   {get("/there"), 302, ""},
		"RedirectedAround": {get("/loop"), 500, "ten times"},
		"Slow":             {get("/slow"), 500, "deadline exceeded"},
		"Connects":         {&probe.Prober{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(port(t, plain.Listener.Addr()))}}, 200, ""},
		"NobodyListens":    {&probe.Prober{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(nobody)}}, 500, "refused"},
		"GRPC":             {grpcProbe(&up), 200, ""},
		"GRPCWhole":        {grpcProbe(nil), 200, ""},
		"GRPCDown":         {grpcProbe(&down), 500, `"down" is NOT_SERVING`},
		"GRPCUnknown":      {grpcProbe(&unknown), 500, "unknown service"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if name != "Slow" { // the second of the default isn't much on a busy machine
				c.prober.TimeoutSeconds = 60
			}
			path := probe.HealthPath("app", "livez")
			h := probe.New(probe.Probers{path: c.prober}, netip.MustParseAddr("127.0.0.1"))
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("User-Agent", "kube-probe/1.36")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, c.code, c.body)
			}
		})
	}
	t.Run("OnlyThosePathsThatAreThere", func(t *testing.T) {
		h := probe.New(probe.Probers{probe.HealthPath("app", "livez"): get("/ok")}, netip.MustParseAddr("127.0.0.1"))
		for _, path := range []string{"/app-health/app/readyz", "/app-health/app/livez/", "/app-health/../app-health/app/livez", "/app-health/other/livez"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != http.StatusNotFound {
				t.Errorf("%s answers %d", path, w.Code)
			}
		}
	})
	t.Run("LongAnswerIsCut", func(t *testing.T) {
		path := probe.HealthPath("app", "livez")
		w := httptest.NewRecorder()
		probe.New(probe.Probers{path: get("/long")}, netip.MustParseAddr("127.0.0.1")).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Body.Len() != 10<<10 {
			t.Errorf("%d bytes", w.Body.Len())
		}
	})
}

func TestParse(t *testing.T) {
	cases := map[string]struct{ in, err string }{
		"None":      {"", ""},
		"Good":      {`{"/app-health/app/livez":{"httpGet":{"path":"/","port":80},"timeoutSeconds":3},"/app-lifecycle/app/prestopz":{"tcpSocket":{"port":81}}}`, ""},
		"NotJSON":   {`{`, "unexpected end"},
		"Path":      {`{"/stats":{"tcpSocket":{"port":81}}}`, `"/stats" is not the path of a probe`},
		"Empty":     {`{"/app-health/app/livez":null}`, "is empty"},
		"NoKind":    {`{"/app-health/app/livez":{}}`, "exactly one"},
		"TwoKinds":  {`{"/app-health/app/livez":{"tcpSocket":{"port":1},"grpc":{"port":1}}}`, "exactly one"},
		"NamedPort": {`{"/app-health/app/livez":{"tcpSocket":{"port":"http"}}}`, `port "http" is not a number`},
		"BadPort":   {`{"/app-health/app/livez":{"grpc":{"port":70000}}}`, `port "70000" is not a number`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := probe.Parse([]byte(c.in))
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
