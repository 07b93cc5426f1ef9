// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/admin"
	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/drain"
	"github.com/isthmesh/isthmesh/controlplane/agent/health"
	"github.com/isthmesh/isthmesh/controlplane/agent/process"
	"github.com/isthmesh/isthmesh/controlplane/agent/sds"
)

// killAfter is the patience with an Envoy that was told to end.
const killAfter = 5 * time.Second

// Run runs the proxy of one pod until ctx ends (then it drains first), until
// it is asked to quit, or until Envoy ends by itself. It returns Envoy's exit
// code, and an error when a part of the agent could not do its work.
func Run(ctx context.Context, s Settings) (int, error) {
	log := logr.FromContextOrDiscard(ctx)
	// The parts live on while the proxy drains.
	parts, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, parts := errgroup.WithContext(parts)
	ctx, quit := context.WithCancel(ctx)
	defer quit()

	envoy := admin.New(loopback(s.AdminPort))
	ready := health.New(envoy)
	drainer := &drain.Drainer{Proxy: envoy, Clock: clock.RealClock{}, All: s.DrainAll, AtLeast: s.DrainAtLeast, AtMost: s.DrainAtMost}
	secrets := sds.New(strconv.FormatInt(time.Now().UnixNano(), 36) + "-")
	node, err := s.Node.Envoy()
	if err != nil {
		return 1, err
	}
	controlPlane, err := s.controlPlane()
	if err != nil {
		return 1, err
	}
	names := newNames(s, node, controlPlane, drainer)

	group.Go(func() error { return secrets.Serve(parts, s.secretSocket()) })
	group.Go(func() error {
		return serveStatus(parts, s.StatusPort, statusHandler(s, ready, drainer, envoy, names, quit))
	})
	group.Go(func() error { return names.serve(parts) })
	group.Go(func() error {
		return watchApplication(parts, ctx.Done(), s, node, controlPlane, ready, names.leaf.Load)
	})

	patcher := newPatcher(s, node, controlPlane, names.leaf.Load)
	issued := make(chan struct{})
	renewer := &csr.Renewer{
		Authority: &csr.Client{
			Address: s.CA, ServerName: nameOr(s.CAName, s.CA), ServerID: controlPlane,
			RootFile: s.RootFile, TokenFile: s.TokenFile,
			Identity: s.Identity(), Cluster: s.Node.ClusterID, TTL: s.CertificateTTL,
			Keep: s.CertificateDirectory,
		},
		Clock: clock.RealClock{}, Random: rand.Float64,
		Publish: func(leaf *csr.Leaf) {
			if err := secrets.Set(leaf); err != nil {
				log.Error(err, "Envoy keeps its former certificate")
				return
			}
			names.certificate(leaf)
			ready.HasCertificate()
			select {
			case <-issued:
			default:
				close(issued)
			}
		},
	}
	group.Go(func() error { renewer.Run(parts); return nil })

	code := 0
	select {
	case <-ctx.Done():
	case <-parts.Done():
	case <-issued:
		if code, err = runEnvoy(ctx, parts, s, ready, drainer, patcher); err != nil {
			group.Go(func() error { return err })
		}
	}
	stop()
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return max(code, 1), err
	}
	return code, nil
}

// runEnvoy starts Envoy and returns when it has ended. When ctx ends it is
// drained before; when parts end, something of the agent broke.
func runEnvoy(ctx, parts context.Context, s Settings, ready *health.Checker, drainer *drain.Drainer, patcher *patcher) (int, error) {
	log := logr.FromContextOrDiscard(ctx)
	options, err := s.bootstrap()
	if err != nil {
		return 1, err
	}
	config, err := bootstrap.Build(options)
	if err != nil {
		return 1, err
	}
	config, refused := patcher.apply(ctx, config)
	if err := bootstrap.Write(s.bootstrapFile(), config); err != nil {
		return 1, err
	}
	envoy, err := process.Start(s.process())
	if err != nil {
		return 1, err
	}
	if len(refused) > 0 {
		telling, stop := context.WithCancel(parts)
		var told sync.WaitGroup
		told.Go(func() { patcher.client.Refuse(telling, refused) })
		defer func() { stop(); told.Wait() }()
	}
	defer time.AfterFunc(stands, patcher.stood).Stop()
	log.Info("Envoy started", "node", s.Node.ID(), "discovery", s.Discovery)

	select {
	case <-envoy.Done():
		if envoy.Code() == 0 {
			patcher.stood()
			return 0, nil
		}
		return envoy.Code(), fmt.Errorf("envoy ended by itself with code %d: its log says why", envoy.Code())
	case <-parts.Done():
		patcher.stood()
	case <-ctx.Done():
		patcher.stood()
		ready.Stop()
		drained := make(chan struct{})
		go func() { defer close(drained); drainer.Finish(parts) }()
		select {
		case <-drained:
		case <-envoy.Done():
		case <-parts.Done():
		}
	}
	err = envoy.Stop(time.After(killAfter))
	return envoy.Code(), err
}

func loopback(port uint16) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))) }
