// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/isthmesh/isthmesh/controllers/credentials"
	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/controlplane/hds"
	"github.com/isthmesh/isthmesh/controlplane/informers"
	"github.com/isthmesh/isthmesh/controlplane/xds"
)

// run wires the control plane and keeps it up until ctx ends or a part of it fails.
func run(ctx context.Context, o *options) error {
	cfg, err := clusterConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	cfg.UserAgent = "istiod-isthmesh"
	cfg.QPS, cfg.Burst = 100, 200
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("client of %s: %w", cfg.Host, err)
	}
	domain, err := spiffeid.TrustDomainFromString(o.settings.TrustDomain)
	if err != nil {
		return fmt.Errorf("--trust-domain %q: %w", o.settings.TrustDomain, err)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	ready := newReadiness("ca", "informers", "first push")
	signing, err := ca.NewAuthority(ca.Settings{TrustDomain: domain, Now: time.Now, Rand: rand.Reader})
	if err != nil {
		return err
	}
	forConfigMaps, forWebhooks := make(chan struct{}, 1), make(chan struct{}, 1)
	auth := &authority{
		Authority: signing, kube: kube, namespace: o.namespace, meshID: o.settings.MeshID, federation: o.federation,
		changed: []chan<- struct{}{forConfigMaps, forWebhooks}, hub: overTheWire(), now: time.Now,
	}
	who, err := authn.New(authn.Options{
		TrustDomain: domain, Roots: signing.Roots, Reviews: kube.AuthenticationV1().TokenReviews(), Now: time.Now,
	})
	if err != nil {
		return err
	}
	own := signing.ServerCertificate(serverNames(o.namespace, o.revision, o.settings.DomainSuffix))
	rejected := make(chan struct{}, 1)
	var p *pipeline
	outside, err := newMachines(cfg, kube, o, metrics, func() *built { return p.last.Load() })
	if err != nil {
		return err
	}
	pushes, err := xds.New(xds.Options{
		Authenticator: who, Registry: metrics, Log: logr.FromContextOrDiscard(ctx).WithName("xds"), Rejected: func() { nudge(rejected) },
		Machines: outside,
	})
	if err != nil {
		return err
	}
	clients, err := informers.NewClients(cfg)
	if err != nil {
		return err
	}
	objects, err := informers.New(clients, o.namespace, o.revision)
	if err != nil {
		return err
	}
	p = newPipeline(o.settings, objects, pushes, ready, rejected)
	p.tell = append(p.tell, outside.told()...)
	p.checks, err = hds.New(hds.Options{
		Authenticator: who, Registry: metrics, Log: logr.FromContextOrDiscard(ctx).WithName("gateways"), Changed: p.again,
	})
	if err != nil {
		return err
	}
	p.modules = newModules(kube, o.plainRegistries, metrics, p.again)
	if u, err := url.Parse(cfg.Host); err == nil {
		p.apiServer = u.Hostname()
	}
	p.references = newReferences(objects, &credentials.Binder{
		Client: kube.RbacV1(), Role: credentials.RoleName(serviceName(o.revision), o.namespace),
		Namespace: o.namespace, Account: serviceName(o.revision), Now: time.Now,
	}, p.again)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveReady(ctx, o.readyAddress, ready) })
	group.Go(func() error { return serveMonitoring(ctx, o.monitoringAddress, metrics, pushes, p) })
	group.Go(func() error { objects.Run(ctx); return ctx.Err() })
	group.Go(func() error { return pushes.Run(ctx) })
	group.Go(func() error { return p.checks.Run(ctx) })
	group.Go(func() error {
		if err := auth.bringUp(ctx, func(why string) bool { return ready.wait("ca", why) }); err != nil {
			return err
		}
		ready.done("ca")
		return serveMesh(ctx, group, meshParts{
			o: o, cfg: cfg, kube: kube, auth: auth, who: who, own: own, xds: pushes, pipeline: p,
			metrics: metrics, machines: outside, forConfigMaps: forConfigMaps, forWebhooks: forWebhooks,
		})
	})
	return group.Wait()
}

// meshParts are what serves the mesh once the CA can sign.
type meshParts struct {
	o                          *options
	cfg                        *rest.Config
	kube                       kubernetes.Interface
	auth                       *authority
	who                        authn.Authenticator
	own                        *ca.OwnCertificate
	xds                        *xds.Server
	pipeline                   *pipeline
	metrics                    *prometheus.Registry
	machines                   *machines
	forConfigMaps, forWebhooks chan struct{}
}

// serveMesh starts what needs the CA: the stream to the hub, the pipeline, xDS, the webhooks, and what is written to the cluster.
func serveMesh(ctx context.Context, group *errgroup.Group, m meshParts) error {
	if m.o.federation {
		loaded := make(chan struct{})
		group.Go(func() error { return federate(ctx, m, sync.OnceFunc(func() { close(loaded) })) })
		group.Go(func() error { return m.auth.renew(ctx, m.own) })
		select { // proxies that connect now are to see what was imported before
		case <-ctx.Done():
			return ctx.Err()
		case <-loaded:
		}
	}
	statuses, err := newExportStatus(m)
	if err != nil {
		return err
	}
	deployed := newGateways(m)
	told := newConditions(m)
	group.Go(func() error { return m.auth.follow(ctx) })
	group.Go(func() error { return m.pipeline.references.run(ctx) })
	group.Go(func() error { return m.pipeline.keys.run(ctx) })
	group.Go(func() error { return m.pipeline.modules.run(ctx) })
	group.Go(func() error { return m.pipeline.run(ctx) })
	group.Go(func() error { return statuses.run(ctx) })
	group.Go(func() error { return deployed.run(ctx) })
	group.Go(func() error { return told.run(ctx) })
	group.Go(func() error { return told.report(ctx) })
	group.Go(func() error { return m.machines.Run(ctx) })
	group.Go(func() error { return m.machines.pulse.Run(ctx) })
	group.Go(func() error { return m.machines.removeGone(ctx, m) })
	group.Go(func() error { return serveGRPC(ctx, m) })
	group.Go(func() error { return serveWebhooks(ctx, m) })
	group.Go(func() error { return runControllers(ctx, m) })
	return nil
}

// serverNames are the DNS names that proxies and the API server call the control plane by.
func serverNames(namespace, revision, suffix string) []string {
	services := []string{"istiod"}
	if revision != "" && revision != "default" {
		services = append(services, "istiod-"+revision)
	}
	var names []string
	for _, s := range services {
		full := s + "." + namespace
		names = append(names, full+".svc", full+".svc."+suffix, full)
	}
	return names
}
