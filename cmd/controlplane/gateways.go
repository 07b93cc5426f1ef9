// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	controller "github.com/isthmesh/isthmesh/controllers/gatewayapi"
	"github.com/isthmesh/isthmesh/controllers/ingress"
	"github.com/isthmesh/isthmesh/controllers/problems"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

// gateways deploys the proxies of Gateways and writes the Gateway API's
// statuses, in the one replica that holds the lease.
type gateways struct {
	m meshParts
	// changed is for the Gateway API's statuses, moved for those of Ingresses.
	changed, moved chan struct{}
}

// newGateways is told by the pipeline; make it before the pipeline runs.
func newGateways(m meshParts) *gateways {
	g := &gateways{m: m, changed: make(chan struct{}, 1), moved: make(chan struct{}, 1)}
	m.pipeline.tell = append(m.pipeline.tell, g.changed, g.moved)
	return g
}

const gatewayLease = "isthmesh-gateway-controller"

func (g *gateways) run(ctx context.Context) error {
	name := gatewayLease
	if g.m.o.revision != "" {
		name += "-" + g.m.o.revision
	}
	return whileLeading(ctx, g.m, name, g.lead)
}

// lead until ctx ends.
func (g *gateways) lead(ctx context.Context) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), controller.AddToScheme(scheme)); err != nil {
		return err
	}
	cfg := rest.CopyConfig(g.m.cfg)
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("make the client for Gateways: %w", err)
	}
	version, err := g.m.kube.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("ask for the version of Kubernetes: %w", err)
	}
	maps, err := g.watchValues(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	replicas := &problems.Others{
		Client: g.m.kube, Namespace: g.m.o.namespace, Replica: g.m.o.identity(), News: func() { nudge(g.changed) },
	}
	var failed error
	others.Go(func() {
		defer cancel()
		failed = replicas.Run(ctx)
	})
	others.Go(func() { (&ingress.Controller{Kube: g.m.kube, Wanted: g.ingresses, Changed: g.moved}).Run(ctx) })
	err = (&controller.Controller{
		Client: c, Kube: g.m.kube, Statuses: func() *gatewayapi.Statuses { return g.statuses(replicas) }, Changed: g.changed, DomainSuffix: g.m.o.settings.DomainSuffix,
		Platform: func() (controller.Platform, error) { return g.platform(maps, version.GitVersion) },
	}).Run(ctx)
	cancel()
	others.Wait()
	return errors.Join(err, failed)
}

func (g *gateways) ingresses() (ingress.Wanted, bool) {
	last := g.m.pipeline.last.Load()
	if last == nil {
		return ingress.Wanted{}, false
	}
	w := ingress.WantedOf(last.mesh.Settings, last.ingresses)
	w.Tell(g.m.pipeline.problems(last), uidIn(last.objects))
	return w, true
}

// uidIn finds Ingresses and routes in what a mesh was made of.
func uidIn(in ingest.Input) func(kind, namespace, name string) types.UID {
	return func(kind, namespace, name string) types.UID {
		switch r := in.GatewayAPI; kind {
		case "Ingress":
			return uidOf(in.Ingresses, namespace, name)
		case "HTTPRoute":
			return uidOf(r.HTTPRoutes, namespace, name)
		case "GRPCRoute":
			return uidOf(r.GRPCRoutes, namespace, name)
		case "TLSRoute":
			return uidOf(r.TLSRoutes, namespace, name)
		case "TCPRoute":
			return uidOf(r.TCPRoutes, namespace, name)
		case "UDPRoute":
			return uidOf(r.UDPRoutes, namespace, name)
		}
		return ""
	}
}

func uidOf[T metav1.Object](all []T, namespace, name string) types.UID {
	i := slices.IndexFunc(all, func(o T) bool { return o.GetNamespace() == namespace && o.GetName() == name })
	if i < 0 {
		return ""
	}
	return all[i].GetUID()
}

// statuses of the Gateway API's objects, with what proxies refuse of them, of this
// replica's and of the others'.
func (g *gateways) statuses(others *problems.Others) *gatewayapi.Statuses {
	last := g.m.pipeline.last.Load()
	if last == nil {
		return nil
	}
	refused := last.shown.Blame(g.m.xds.Rejections())
	return last.statuses.Refused(problems.With(refused, others.Said(), problems.In(last.objects)))
}

// watchValues reads the ConfigMap with the values that all proxies share.
func (g *gateways) watchValues(ctx context.Context) (corev1listers.ConfigMapNamespaceLister, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(g.m.kube, 0, informers.WithNamespace(g.m.o.namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", g.injector()).String()
		}))
	maps := factory.Core().V1().ConfigMaps()
	informer := maps.Informer()
	notify := func() {
		select {
		case g.changed <- struct{}{}:
		default:
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { notify() }, UpdateFunc: func(any, any) { notify() }, DeleteFunc: func(any) { notify() },
	}); err != nil {
		return nil, fmt.Errorf("watch ConfigMap %s: %w", g.injector(), err)
	}
	factory.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, ctx.Err()
	}
	return maps.Lister().ConfigMaps(g.m.o.namespace), nil
}

func (g *gateways) injector() string {
	if g.m.o.revision != "" && g.m.o.revision != "default" {
		return injectorConfigMap + "-" + g.m.o.revision
	}
	return injectorConfigMap
}

func (g *gateways) platform(maps corev1listers.ConfigMapNamespaceLister, kubeVersion string) (controller.Platform, error) {
	var o *corev1.ConfigMap
	o, err := maps.Get(g.injector())
	if err != nil {
		return controller.Platform{}, fmt.Errorf("ConfigMap %s has the image of proxies: %w", g.injector(), err)
	}
	var values map[string]any
	if err := yaml.Unmarshal([]byte(o.Data["values"]), &values); err != nil {
		return controller.Platform{}, fmt.Errorf("ConfigMap %s/%s: key values: %w", o.Namespace, o.Name, err)
	}
	return controller.PlatformOf(values, g.m.o.settings.TrustDomain, kubeVersion), nil
}
