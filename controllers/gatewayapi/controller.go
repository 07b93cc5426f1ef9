// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

// AddToScheme registers the kinds that a Controller's Client must know.
func AddToScheme(s *runtime.Scheme) error { return gateway.Install(s) }

// Controller deploys Gateways and writes statuses. One replica runs it at a time.
type Controller struct {
	// Client that asks the API server and caches nothing.
	Client client.Client
	Kube   kubernetes.Interface
	// Statuses are the newest; nil before the first mesh.
	Statuses func() *gatewayapi.Statuses
	// Changed tells that they may have changed.
	Changed <-chan struct{}
	// Platform is what all proxies share.
	Platform func() (Platform, error)
	// DomainSuffix of the cluster.
	DomainSuffix string
	// Pause is the least time between two rounds; a fifth of a second by default.
	Pause time.Duration
	// Resync is when everything is looked at again, for what others wrote; ten minutes by default.
	Resync time.Duration

	writer   writer
	deployer deployer
}

// Run works until ctx ends; it returns ctx's error.
func (c *Controller) Run(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx).WithName("gatewayapi")
	c.writer = writer{client: c.Client, now: time.Now}
	c.deployer = deployer{client: c.Client, platform: c.Platform}
	moved := make(chan struct{}, 1)
	lists, err := c.watch(ctx, moved)
	if err != nil {
		return err
	}
	var resynced, classes time.Time
	var last string
	for {
		if time.Since(resynced) > cmp.Or(c.Resync, 10*time.Minute) {
			c.writer.forget()
			c.deployer.forget()
			resynced = time.Now()
		}
		// The kinds may come later than the control plane.
		if time.Since(classes) > 30*time.Second {
			classes = time.Now()
			if err := c.makeClasses(ctx); err != nil {
				log.Error(err, "can't make the GatewayClasses")
			}
		}
		err := c.round(ctx, lists)
		if err != nil && err.Error() != last {
			log.Info("not all is written, it is tried again", "cause", err.Error())
		}
		if last = ""; err != nil {
			last = err.Error()
		}
		if err := c.wait(ctx, moved, err == nil); err != nil {
			return err
		}
	}
}

// wait for the pause, and for a change when all is settled.
func (c *Controller) wait(ctx context.Context, moved <-chan struct{}, settled bool) error {
	timer := time.NewTimer(cmp.Or(c.Pause, 200*time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	again := time.Second
	if settled {
		again = time.Minute
	}
	timer.Reset(again)
	select {
	case <-c.Changed:
	case <-moved:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// lists are the caches of what was deployed.
type lists struct {
	services, deployments cache.Store
}

// watch what was deployed, and nothing else.
func (c *Controller) watch(ctx context.Context, moved chan<- struct{}) (lists, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(c.Kube, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = labels.Set{managedLabel: managedValue}.String()
	}))
	services, deployments := factory.Core().V1().Services().Informer(), factory.Apps().V1().Deployments().Informer()
	notify := func() {
		select {
		case moved <- struct{}{}:
		default: // it has yet to look
		}
	}
	for _, i := range []cache.SharedIndexInformer{services, deployments} {
		if _, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { notify() }, UpdateFunc: func(any, any) { notify() }, DeleteFunc: func(any) { notify() },
		}); err != nil {
			return lists{}, fmt.Errorf("watch what is deployed for Gateways: %w", err)
		}
	}
	factory.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), services.HasSynced, deployments.HasSynced) {
		return lists{}, ctx.Err()
	}
	return lists{services.GetStore(), deployments.GetStore()}, nil
}

// cluster as the caches show it.
func (l lists) cluster() *cluster {
	out := &cluster{services: map[types.NamespacedName]*corev1.Service{}, deployments: map[types.NamespacedName]*appsv1.Deployment{}}
	for _, o := range l.services.List() {
		if s, ok := o.(*corev1.Service); ok {
			out.services[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}] = s
		}
	}
	for _, o := range l.deployments.List() {
		if d, ok := o.(*appsv1.Deployment); ok {
			out.deployments[types.NamespacedName{Namespace: d.Namespace, Name: d.Name}] = d
		}
	}
	return out
}

// round deploys and writes what differs.
func (c *Controller) round(ctx context.Context, l lists) error {
	statuses := c.Statuses()
	if statuses == nil {
		return nil
	}
	seen := l.cluster()
	failed, again := c.deployer.all(ctx, statuses.Gateways, seen)
	deployed := map[gatewayapi.Object]gatewayapi.Deployed{}
	for _, g := range statuses.Gateways {
		if g.Deployment == nil {
			continue
		}
		d, err := c.observe(ctx, g.Deployment, seen)
		if err != nil {
			again = errors.Join(again, err)
		}
		d.Failed = failed[nameOnly(g.Object)]
		deployed[nameOnly(g.Object)] = d
	}
	err := c.writer.all(ctx, statuses, func(o gatewayapi.Object) gatewayapi.Deployed { return deployed[nameOnly(o)] })
	return errors.Join(again, err)
}

// observe one Gateway's proxies.
func (c *Controller) observe(ctx context.Context, d *gatewayapi.Deployment, seen *cluster) (gatewayapi.Deployed, error) {
	if d.Existing == "" {
		n := types.NamespacedName{Namespace: d.Namespace, Name: objectName(d)}
		return observe(d, seen.services[n], seen.deployments[n], c.DomainSuffix), nil
	}
	namespace, name, _ := strings.Cut(d.Existing, "/")
	var s corev1.Service
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &s)
	if err != nil {
		return observe(d, nil, nil, c.DomainSuffix), client.IgnoreNotFound(err)
	}
	return observe(d, &s, nil, c.DomainSuffix), nil
}

// makeClasses that aren't there. A cluster without the Gateway API has none.
func (c *Controller) makeClasses(ctx context.Context) error {
	var failed []error
	for _, name := range gatewayapi.ClassNames() {
		description := "Gateways of Isthmesh: proxies of stock Envoy in the mesh."
		class := &gateway.GatewayClass{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/part-of": "isthmesh"}},
			Spec:       gateway.GatewayClassSpec{ControllerName: gatewayapi.ControllerName, Description: &description},
		}
		err := c.Client.Create(ctx, class, client.FieldOwner(fieldManager))
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
			failed = append(failed, fmt.Errorf("GatewayClass %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}
