// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics in Istio's names, which dashboards and alerts rely on.
type metrics struct {
	connected      *prometheus.GaugeVec
	pushes         [kinds]prometheus.Counter
	sendErrors     [kinds]prometheus.Counter
	pushTime       [kinds]prometheus.Observer
	size           [kinds]prometheus.Observer
	rejects        [kinds]prometheus.Counter
	expired        [kinds]prometheus.Counter
	internalErrors prometheus.Counter
	convergence    prometheus.Histogram

	mu       sync.Mutex
	versions map[string]int
}

func newMetrics(registry prometheus.Registerer) *metrics {
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	seconds := []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 3, 5, 10, 20, 30}
	m := &metrics{
		connected: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pilot_xds", Help: "Number of endpoints connected to this pilot using XDS.",
		}, []string{"version"}),
		internalErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pilot_total_xds_internal_errors", Help: "Total number of internal XDS errors in pilot.",
		}),
		convergence: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pilot_proxy_convergence_time", Help: "Delay in seconds between config change and a proxy receiving all required configuration.",
			Buckets: seconds,
		}),
		versions: map[string]int{},
	}
	pushes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pilot_xds_pushes", Help: "Pilot build and send errors and successful pushes, by type.",
	}, []string{"type"})
	pushTime := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pilot_xds_push_time", Help: "Total time in seconds to generate and send a response, by type.", Buckets: seconds,
	}, []string{"type"})
	size := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pilot_xds_config_size_bytes", Help: "Size of responses sent, by type URL.",
		Buckets: []float64{1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000},
	}, []string{"type"})
	rejects := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pilot_total_xds_rejects", Help: "Total number of responses that proxies rejected, by type.",
	}, []string{"type"})
	expired := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pilot_xds_expired_nonce", Help: "Total number of requests with an expired nonce, by type.",
	}, []string{"type"})
	for k := range kinds {
		m.pushes[k] = pushes.WithLabelValues(labels[k])
		m.sendErrors[k] = pushes.WithLabelValues(labels[k] + "_senderr")
		m.pushTime[k] = pushTime.WithLabelValues(labels[k])
		m.size[k] = size.WithLabelValues(typeURLs[k])
		m.rejects[k] = rejects.WithLabelValues(labels[k])
		m.expired[k] = expired.WithLabelValues(labels[k])
	}
	registry.MustRegister(m.connected, m.internalErrors, m.convergence, pushes, pushTime, size, rejects, expired)
	return m
}

// sent records a response, which took from start to end.
func (m *metrics) sent(r *response, start, end time.Time) {
	m.pushes[r.kind].Inc()
	m.pushTime[r.kind].Observe(end.Sub(start).Seconds())
	m.size[r.kind].Observe(float64(r.size))
}

// connect counts a proxy of a version, and disconnect takes it out again. A
// version that nobody has any more leaves no series behind: clients choose it.
func (m *metrics) connect(version string)    { m.count(clip(version), 1) }
func (m *metrics) disconnect(version string) { m.count(clip(version), -1) }

func (m *metrics) count(version string, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.versions[version] += by
	if m.versions[version] == 0 {
		delete(m.versions, version)
		m.connected.DeleteLabelValues(version)
		return
	}
	m.connected.WithLabelValues(version).Set(float64(m.versions[version]))
}
