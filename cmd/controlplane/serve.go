// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/controlplane/holder"
	"github.com/isthmesh/isthmesh/controlplane/xds"
)

// serveGRPC serves xDS and certificates on one port.
func serveGRPC(ctx context.Context, m meshParts) error {
	listener, err := listen(ctx, m.o.xdsAddress)
	if err != nil {
		return err
	}
	config := authn.ServerConfig(m.own.GetCertificate, m.auth.Roots)
	server := grpc.NewServer(append(xds.ServerOptions(), grpc.Creds(credentials.NewTLS(config)))...)
	m.xds.Register(server)
	m.pipeline.checks.Register(server)
	ca.NewServer(m.auth.Authority, m.who, ca.NewMetrics(m.metrics, m.auth.Authority), &holder.Holders{
		Pods: m.kube.CoreV1(), Cluster: string(m.pipeline.settings.Cluster), Machines: m.pipeline.machines,
	}, 0).Register(server)
	stopped := context.AfterFunc(ctx, server.Stop)
	defer stopped()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve xDS on %s: %w", m.o.xdsAddress, err)
	}
	return ctx.Err()
}

// serveReady answers the kubelet.
func serveReady(ctx context.Context, address string, ready *readiness) error {
	mux := http.NewServeMux()
	mux.Handle("GET /ready", ready)
	return serveHTTP(ctx, address, nil, mux)
}

// serveMonitoring serves metrics to all, and what proxies and the mesh look
// like only to who is in the pod (kubectl exec or port-forward).
func serveMonitoring(ctx context.Context, address string, metrics *prometheus.Registry, x *xds.Server, p *pipeline) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.Handle("GET /debug/syncz", onLoopback(func() any { return x.Proxies() }))
	mux.Handle("GET /debug/registryz", onLoopback(func() any {
		if last := p.last.Load(); last != nil {
			return last.mesh.Services
		}
		return nil
	}))
	mux.Handle("GET /debug/problemsz", onLoopback(func() any {
		if last := p.last.Load(); last != nil {
			return p.problems(last)
		}
		return nil
	}))
	return serveHTTP(ctx, address, nil, mux)
}

func onLoopback(value func() any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "/debug answers only inside the pod: use kubectl port-forward", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(value()); err != nil {
			logr.FromContextOrDiscard(r.Context()).V(1).Info("debug answer cut short", "cause", err.Error())
		}
	})
}

// serveHTTP serves until ctx ends; with a TLS configuration over TLS.
func serveHTTP(ctx context.Context, address string, config *tls.Config, handler http.Handler) error {
	listener, err := listen(ctx, address)
	if err != nil {
		return err
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	stopped := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(drain) != nil {
			_ = server.Close()
		}
	})
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", address, err)
	}
	return ctx.Err()
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}
