// SPDX-License-Identifier: Apache-2.0

// Package health decides whether the proxy can take traffic: it has a
// certificate, and Envoy has taken its clusters and listeners from the control
// plane. Once that was so, only Envoy's own state is asked for, since the
// kubelet asks often and a control plane that is away makes nobody unready.
package health

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync/atomic"
	"time"
)

// Envoy is who is asked; admin.Client is one.
type Envoy interface {
	Live(ctx context.Context) error
	Stats(ctx context.Context, filter *regexp.Regexp) (map[string]uint64, error)
}

// Checker answers readiness. It is safe for concurrent use.
type Checker struct {
	envoy       Envoy
	certificate atomic.Bool
	configured  atomic.Bool
	stopping    atomic.Bool
}

// New makes a checker that is not ready yet.
func New(e Envoy) *Checker { return &Checker{envoy: e} }

// HasCertificate says that the workload's certificate was issued.
func (c *Checker) HasCertificate() { c.certificate.Store(true) }

// Stop makes it unready for good.
func (c *Checker) Stop() { c.stopping.Store(true) }

// patience with Envoy's answers.
const patience = 2 * time.Second

const (
	clusters  = "cluster_manager.cds.update_success"
	listeners = "listener_manager.lds.update_success"
	workers   = "listener_manager.workers_started"
)

var questions = regexp.MustCompile(`^(cluster_manager\.cds\.update_success|listener_manager\.lds\.update_success|listener_manager\.workers_started)$`)

// Ready returns nil, or what is missing.
func (c *Checker) Ready(ctx context.Context) error {
	if c.stopping.Load() {
		return errors.New("the proxy is stopping")
	}
	if !c.certificate.Load() {
		return errors.New("the workload has no certificate yet: see the log of container istio-proxy")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.envoy.Live(ctx); err != nil {
		return err
	}
	if c.configured.Load() {
		return nil
	}
	stats, err := c.envoy.Stats(ctx, questions)
	if err != nil {
		return err
	}
	switch {
	case stats[clusters] == 0:
		return errors.New("envoy has no clusters from the control plane yet")
	case stats[listeners] == 0:
		return errors.New("envoy has no listeners from the control plane yet")
	case stats[workers] == 0:
		return errors.New("envoy's workers have not started yet")
	}
	c.configured.Store(true)
	return nil
}

// ServeHTTP answers 200 when ready and 503 with the reason otherwise.
func (c *Checker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := c.Ready(r.Context()); err != nil {
		http.Error(w, fmt.Sprintf("not ready: %v", err), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}
