// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmesh/isthmesh/controlplane/agent/admin"
	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/drain"
	"github.com/isthmesh/isthmesh/controlplane/agent/health"
	"github.com/isthmesh/isthmesh/controlplane/agent/metrics"
	"github.com/isthmesh/isthmesh/controlplane/agent/probe"
)

// statusHandler is what the agent answers on its own port: readiness, merged
// metrics and the application's probes to anybody, draining and quitting to
// the pod alone.
func statusHandler(s Settings, ready *health.Checker, drainer *drain.Drainer, envoy *admin.Client, n *names, quit func()) http.Handler {
	page, registerer := metrics.New(envoy, s.Application, s.workload(), s.Node.Version)
	if n.server != nil {
		n.server.Register(registerer)
	}
	registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cert_expiry_seconds", Help: "Seconds until the workload's certificate ends; 0 without one.",
		ConstLabels: prometheus.Labels{"resource_name": bootstrap.WorkloadSecret},
	}, func() float64 {
		if leaf := n.leaf.Load(); leaf != nil {
			return time.Until(leaf.NotAfter).Seconds()
		}
		return 0
	}))
	pod := netip.MustParseAddr("127.0.0.1")
	if len(s.Node.Addresses) > 0 {
		pod = s.Node.Addresses[0]
	}
	probes := probe.New(s.Probes, pod)

	mux := http.NewServeMux()
	mux.Handle("GET /healthz/ready", ready)
	mux.Handle("GET /stats/prometheus", page)
	mux.HandleFunc("GET "+bootstrap.EnvoyMetricsPath, page.ServeEnvoy)
	mux.Handle("GET /app-health/", probes)
	mux.Handle("GET /app-lifecycle/", probes)
	mux.Handle("POST /drain", local(func(w http.ResponseWriter, r *http.Request) {
		err := drainer.Begin(r.Context())
		if errors.Is(err, syscall.ECONNREFUSED) {
			// Envoy doesn't run (yet): there is nobody to tell.
			err = nil
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = fmt.Fprintln(w, "draining")
	}))
	mux.Handle("POST /quitquitquit", local(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "quitting")
		quit()
	}))
	return mux
}

// local lets requests from the pod's own loopback pass.
func local(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "only from inside of the pod", http.StatusForbidden)
			return
		}
		h(w, r)
	})
}

// serveStatus answers on the agent's port until ctx ends.
func serveStatus(ctx context.Context, port uint16, handler http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(int(port)))
	if err != nil {
		return fmt.Errorf("listen for probes and metrics: %w", err)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve probes and metrics: %w", err)
	}
	return nil
}
