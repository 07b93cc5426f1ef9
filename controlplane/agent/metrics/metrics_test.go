// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/isthmesh/isthmesh/controlplane/agent/metrics"
	"github.com/isthmesh/isthmesh/controlplane/peer"
)

type envoy struct {
	page string
	err  error
}

func (e envoy) Prometheus(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(e.page)), e.err
}

const envoyPage = `# TYPE envoy_istio_requests_total counter
envoy_istio_requests_total{reporter="source",response_code="200",note="envoy_istio_"} 3
# TYPE envoy_istio_request_bytes histogram
envoy_istio_request_bytes_bucket{reporter="source",le="0.5"} 0
# TYPE envoy_istio_mine gauge
envoy_istio_mine{} 4
# TYPE envoy_server_live gauge
envoy_server_live{} 1`

func page(t *testing.T, e envoy, application http.HandlerFunc) string {
	t.Helper()
	var source *metrics.Source
	if application != nil {
		server := httptest.NewServer(application)
		t.Cleanup(server.Close)
		source = &metrics.Source{Scheme: "http", Path: "/metrics", Port: strconv.Itoa(int(netip.MustParseAddrPort(server.Listener.Addr().String()).Port()))}
	}
	p, _ := metrics.New(e, source, peer.Peer{Workload: "productpage-v1", Namespace: "shop"}, "1.0")
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil)
	r.Header.Set("Accept", "application/openmetrics-text")
	// Twice: the first shows what failed on the second.
	p.ServeHTTP(httptest.NewRecorder(), r)
	p.ServeHTTP(w, r)
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%d %s", w.Code, w.Header())
	}
	return w.Body.String()
}

func TestPage(t *testing.T) {
	got := page(t, envoy{page: envoyPage}, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
			t.Errorf("asks the application for %s", r.Header.Get("Accept"))
		}
		_, _ = io.WriteString(w, "orders_total 3\n")
	})
	for _, want := range []string{
		"\n# TYPE istio_requests_total counter\nistio_requests_total{reporter=\"source\",source_workload=\"productpage-v1\",",
		",note=\"envoy_istio_\"} 3\n",
		"\nenvoy_server_live{} 1\n", "\n# TYPE istio_mine gauge\nistio_mine{} 4\n",
		",le=\"0.5\"} 0\n", "\norders_total 3\n",
		"\nistio_agent_go_goroutines ", "\nistio_build{component=\"proxy\",tag=\"1.0\"} 1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q on the page:\n%s", want, got)
		}
	}
	if strings.Contains(got, "\nenvoy_istio_") {
		t.Error("a metric of the mesh has the prefix still")
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(got)); err != nil {
		t.Errorf("Prometheus cannot read the page: %v", err)
	}
}

func TestPageWithoutParts(t *testing.T) {
	broken := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) }
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "broken_in 1\n") }))
	t.Cleanup(elsewhere.Close)
	moved := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }
	cases := map[string]struct {
		envoy       envoy
		application http.HandlerFunc
		want        string
	}{
		"NoEnvoy":          {envoy{err: errors.New("not there")}, nil, `istio_agent_scrape_failures_total{type="envoy"} 1`},
		"ApplicationFails": {envoy{page: envoyPage}, broken, `istio_agent_scrape_failures_total{type="application"} 1`},
		"ApplicationMoved": {envoy{page: envoyPage}, moved, `istio_agent_scrape_failures_total{type="application"} 1`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := page(t, c.envoy, c.application)
			if !strings.Contains(got, c.want) || strings.Contains(got, "broken") {
				t.Errorf("no %q on the page:\n%s", c.want, got)
			}
		})
	}
}

// deadline is Envoy's page, which tells how long it may take.
type deadline struct{ left *time.Duration }

func (d deadline) Prometheus(ctx context.Context) (io.ReadCloser, error) {
	at, _ := ctx.Deadline()
	*d.left = time.Until(at)
	return io.NopCloser(strings.NewReader(envoyPage)), nil
}

// TestPageInTime: nobody is asked for longer than Prometheus waits.
func TestPageInTime(t *testing.T) {
	cases := map[string]struct {
		header string
		want   time.Duration
	}{
		"NotSaid":  {"", 10 * time.Second},
		"Said":     {"120.5", 120500 * time.Millisecond},
		"TooLong":  {"601", 10 * time.Second},
		"Negative": {"-1", 10 * time.Second},
		"Nonsense": {"soon", 10 * time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var left time.Duration
			p, _ := metrics.New(deadline{&left}, nil, peer.Peer{}, "")
			r := httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil)
			r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", c.header)
			before := time.Now()
			p.ServeHTTP(httptest.NewRecorder(), r)
			if spent := time.Since(before); left > c.want || left < c.want-spent {
				t.Errorf("%v were left, want %v", left, c.want)
			}
		})
	}
}

// TestPageOfEnvoy has Envoy's metrics, under Istio's names too, and nobody else's.
func TestPageOfEnvoy(t *testing.T) {
	p, _ := metrics.New(envoy{page: envoyPage}, &metrics.Source{Scheme: "http", Path: "/", Port: "1"}, peer.Peer{}, "")
	w := httptest.NewRecorder()
	p.ServeEnvoy(w, httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil))
	got := w.Body.String()
	if !strings.Contains(got, "envoy_server_live{} 1\n") || !strings.Contains(got, "\nistio_requests_total{reporter=\"source\",") || strings.Contains(got, "istio_agent_") {
		t.Errorf("got\n%s", got)
	}
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("type %s", w.Header())
	}
}

// TestPageCompressed: who takes gzip gets the same page in less.
func TestPageCompressed(t *testing.T) {
	p, _ := metrics.New(envoy{page: envoyPage}, nil, peer.Peer{}, "")
	r := httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	// Twice: a compressor is used again.
	for range 2 {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("encoding %q", got)
		}
		body, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		if err != nil || !strings.Contains(string(text), "\nistio_requests_total{reporter=\"source\",") {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

func TestParseSource(t *testing.T) {
	cases := map[string]struct{ in, want, err string }{
		"None":       {"", "", ""},
		"NotWanted":  {`{"scrape":"false","port":"80"}`, "", ""},
		"NoPort":     {`{"scrape":"true"}`, "", ""},
		"Defaults":   {`{"port":"80"}`, "http 80 /metrics", ""},
		"Everything": {`{"port":"8443","scheme":"https","path":"stats"}`, "https 8443 /stats", ""},
		"BadPort":    {`{"port":"http"}`, "", `"http" is not a port number`},
		"Itself":     {`{"port":"15020"}`, "", "agent's own port"},
		"BadScheme":  {`{"port":"80","scheme":"file"}`, "", "neither http nor https"},
		"NotJSON":    {`x`, "", "invalid character"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := metrics.ParseSource([]byte(c.in), 15020)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			got := ""
			if s != nil {
				got = s.Scheme + " " + s.Port + " " + s.Path
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
