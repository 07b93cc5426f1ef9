// SPDX-License-Identifier: Apache-2.0

// Package metrics shows the metrics of Envoy, of the application and of the
// agent as one page, so that Prometheus needs one target in a pod and none of
// the mesh's certificates.
package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/isthmesh/isthmesh/controlplane/peer"
)

// Variable is the environment variable that carries a Source as JSON: what
// the pod's prometheus.io annotations said before injection.
const Variable = "ISTIO_PROMETHEUS_ANNOTATIONS"

// Source is where the application's own metrics are.
type Source struct {
	Scrape string `json:"scrape"`
	Scheme string `json:"scheme,omitempty"`
	Path   string `json:"path"`
	Port   string `json:"port"`
}

// ParseSource reads a Source; nil when the application has none. Own is the
// agent's port, which is never asked: it would ask itself.
func ParseSource(text []byte, own uint16) (*Source, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var s Source
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read the application's prometheus.io annotations: %w", err)
	}
	if s.Scrape == "false" || s.Port == "" {
		return nil, nil
	}
	port, err := strconv.ParseUint(s.Port, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("annotation prometheus.io/port %q is not a port number", s.Port)
	}
	if uint16(port) == own {
		return nil, fmt.Errorf("annotation prometheus.io/port %q is the agent's own port", s.Port)
	}
	if s.Scheme == "" {
		s.Scheme = "http"
	}
	if s.Scheme != "http" && s.Scheme != "https" {
		return nil, fmt.Errorf("annotation prometheus.io/scheme %q is neither http nor https", s.Scheme)
	}
	if s.Path == "" {
		s.Path = "/metrics"
	}
	if !strings.HasPrefix(s.Path, "/") {
		s.Path = "/" + s.Path
	}
	return &s, nil
}

func (s *Source) url() string {
	return s.Scheme + "://" + net.JoinHostPort("localhost", s.Port) + s.Path
}

// Envoy gives Envoy's page; admin.Client is one.
type Envoy interface {
	Prometheus(ctx context.Context) (io.ReadCloser, error)
}

// Page is the handler of the merged page.
type Page struct {
	envoy       Envoy
	application *Source
	own         *prometheus.Registry
	failures    *prometheus.CounterVec
	client      *http.Client
	self        peer.Peer
}

// scrapeTimeout when Prometheus doesn't say its own.
const scrapeTimeout = 10 * time.Second

// New makes a page and the registerer for the agent's own metrics, whose
// names all begin with istio_agent_. Application may be nil. Self is what the
// mesh's metrics say of this pod's workload, version is of the proxy.
func New(envoy Envoy, application *Source, self peer.Peer, version string) (*Page, prometheus.Registerer) {
	own := prometheus.NewRegistry()
	registerer := prometheus.WrapRegistererWithPrefix("istio_agent_", own)
	p := &Page{
		envoy: envoy, application: application, own: own, self: self,
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scrape_failures_total", Help: "Pages that could not be merged, by whose they are.",
		}, []string{"type"}),
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, TLSClientConfig: applicationTLS()},
			// The pod's own annotation names one page; it doesn't lead elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	own.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "istio_build", Help: "Which version runs, by component; always 1.",
		ConstLabels: prometheus.Labels{"component": "proxy", "tag": or(version, unknown)},
	}, func() float64 { return 1 }))
	registerer.MustRegister(p.failures, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return p, registerer
}

// ServeHTTP streams the agent's metrics, Envoy's and the application's. One
// that cannot be read is left out and counted.
func (p *Page) ServeHTTP(response http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout(r))
	defer cancel()
	w, finish := p.begin(response, r)
	defer finish()
	if families, err := p.own.Gather(); err == nil {
		encoder := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
		for _, f := range families {
			if encoder.Encode(f) != nil {
				return
			}
		}
	}
	p.part(ctx, "envoy", w, p.copyEnvoy)
	if p.application != nil {
		p.part(ctx, "application", w, p.copyApplication)
	}
}

// ServeEnvoy streams Envoy's metrics alone, for those who scrape Envoy's own
// port as they do with Istio.
func (p *Page) ServeEnvoy(response http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout(r))
	defer cancel()
	w, finish := p.begin(response, r)
	defer finish()
	p.part(ctx, "envoy", w, p.copyEnvoy)
}

func (p *Page) begin(response http.ResponseWriter, r *http.Request) (io.Writer, func()) {
	response.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	return compressed(response, r)
}

func (p *Page) part(ctx context.Context, whose string, w io.Writer, to func(context.Context, io.Writer) error) {
	if err := to(ctx, w); err != nil {
		p.failures.WithLabelValues(whose).Inc()
		logr.FromContextOrDiscard(ctx).Error(err, "Metrics are missing on the page", "of", whose)
	}
}

func (p *Page) copyEnvoy(ctx context.Context, w io.Writer) error {
	body, err := p.envoy.Prometheus(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return expand(w, body, p.self)
}

func (p *Page) copyApplication(ctx context.Context, w io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.application.url(), nil)
	if err != nil {
		return fmt.Errorf("ask the application for metrics: %w", err)
	}
	// One format for the whole page, whatever Prometheus would prefer.
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	response, err := p.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the application for metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the application answers %d to %s", response.StatusCode, p.application.url())
	}
	if _, err := io.Copy(w, response.Body); err != nil {
		return fmt.Errorf("copy the application's metrics: %w", err)
	}
	return nil
}

// timeout is what Prometheus says it will wait.
func timeout(r *http.Request) time.Duration {
	seconds, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || seconds <= 0 || seconds > 600 {
		return scrapeTimeout
	}
	return time.Duration(seconds * float64(time.Second))
}
