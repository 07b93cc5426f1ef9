// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"math/rand/v2"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/health"
	"github.com/isthmesh/isthmesh/controlplane/agent/readiness"
)

// watchApplication asks the application of a machine and tells the control plane,
// until parts end; callers are to leave from stopping on. Without a probe it does
// nothing.
func watchApplication(parts context.Context, stopping <-chan struct{}, s Settings, node *corev3.Node, controlPlane spiffeid.ID, ready *health.Checker, leaf func() *csr.Leaf) error {
	if s.Readiness == nil {
		return nil
	}
	reporter := readiness.NewReporter()
	reporter.Address, reporter.ServerName, reporter.ServerID = s.Discovery, nameOr(s.DiscoveryName, s.Discovery), controlPlane
	reporter.Node, reporter.Leaf = node, leaf
	reporter.Clock, reporter.Random = clock.RealClock{}, rand.Float64
	// The proxy is ready only with a certificate, so there is one when there is
	// something to tell.
	checker := &readiness.Checker{Probe: s.Readiness, Proxy: ready.Ready, Tell: reporter.Tell, Stopping: stopping}
	group, parts := errgroup.WithContext(parts)
	group.Go(func() error { checker.Run(parts); return nil })
	group.Go(func() error { reporter.Run(parts); return nil })
	return group.Wait()
}
