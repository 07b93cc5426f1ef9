// SPDX-License-Identifier: Apache-2.0

// Package webhookcert keeps the caBundle of a program's own webhook
// configurations equal to the roots that its serving certificate chains to. It
// runs in the member's control plane, and in the hub.
package webhookcert

import (
	"bytes"
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Reconciler writes the roots into webhook configurations.
type Reconciler struct {
	Client client.Client
	// Service and Namespace that the webhooks to be patched call.
	Service, Namespace string
	// Roots is the PEM bundle that holds now; empty while the CA isn't up.
	Roots func() string
	// Changed tells that Roots returns something else.
	Changed <-chan struct{}
	// ValidatingOnly leaves MutatingWebhookConfigurations alone, which then
	// needs no rights on them.
	ValidatingOnly bool
}

// SetupWithManager adds the controllers of both kinds to a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	var mutating chan event.GenericEvent // nil while nobody listens
	validating := make(chan event.GenericEvent)
	if !r.ValidatingOnly {
		mutating = make(chan event.GenericEvent)
	}
	err := mgr.Add(runnable(func(ctx context.Context) error { return r.relay(ctx, mutating, validating) }))
	if err != nil {
		return err
	}
	if !r.ValidatingOnly {
		if err := r.setUpMutating(mgr, mutating); err != nil {
			return err
		}
	}
	return ctrl.NewControllerManagedBy(mgr).Named("webhookcert-validating").
		For(&admissionv1.ValidatingWebhookConfiguration{}).
		WatchesRawSource(source.Channel(validating, handler.EnqueueRequestsFromMapFunc(r.everyValidating))).
		Complete(reconcile.AsReconciler(r.Client, reconcile.ObjectReconciler[*admissionv1.ValidatingWebhookConfiguration](validatingReconciler{r})))
}

func (r *Reconciler) setUpMutating(mgr ctrl.Manager, mutating <-chan event.GenericEvent) error {
	return ctrl.NewControllerManagedBy(mgr).Named("webhookcert-mutating").
		For(&admissionv1.MutatingWebhookConfiguration{}).
		WatchesRawSource(source.Channel(mutating, handler.EnqueueRequestsFromMapFunc(r.everyMutating))).
		Complete(reconcile.AsReconciler(r.Client, reconcile.ObjectReconciler[*admissionv1.MutatingWebhookConfiguration](mutatingReconciler{r})))
}

type mutatingReconciler struct{ *Reconciler }

// Reconcile sets the caBundle of one MutatingWebhookConfiguration.
func (r mutatingReconciler) Reconcile(ctx context.Context, c *admissionv1.MutatingWebhookConfiguration) (ctrl.Result, error) {
	next := c.DeepCopy()
	changed := false
	for i := range next.Webhooks {
		changed = r.set(&next.Webhooks[i].ClientConfig) || changed
	}
	return r.patch(ctx, "MutatingWebhookConfiguration", changed, next, c)
}

type validatingReconciler struct{ *Reconciler }

// Reconcile sets the caBundle of one ValidatingWebhookConfiguration.
func (r validatingReconciler) Reconcile(ctx context.Context, c *admissionv1.ValidatingWebhookConfiguration) (ctrl.Result, error) {
	next := c.DeepCopy()
	changed := false
	for i := range next.Webhooks {
		changed = r.set(&next.Webhooks[i].ClientConfig) || changed
	}
	return r.patch(ctx, "ValidatingWebhookConfiguration", changed, next, c)
}

// set puts the roots into a webhook that calls our service, and tells whether that changed it.
func (r *Reconciler) set(c *admissionv1.WebhookClientConfig) bool {
	roots := []byte(r.Roots())
	ours := c.Service != nil && c.Service.Name == r.Service && c.Service.Namespace == r.Namespace
	if !ours || len(roots) == 0 || bytes.Equal(c.CABundle, roots) {
		return false
	}
	c.CABundle = roots
	return true
}

func (r *Reconciler) patch(ctx context.Context, kind string, changed bool, next, was client.Object) (ctrl.Result, error) {
	if !changed {
		return ctrl.Result{}, nil
	}
	err := r.Client.Patch(ctx, next, client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("patch caBundle of %s %q: %w", kind, was.GetName(), err)
	}
	return ctrl.Result{}, nil
}

// relay turns "the roots changed" into an event that reaches every configuration.
func (r *Reconciler) relay(ctx context.Context, mutating, validating chan<- event.GenericEvent) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.Changed:
		}
		if mutating != nil {
			select {
			case <-ctx.Done():
				return nil
			case mutating <- event.GenericEvent{Object: &admissionv1.MutatingWebhookConfiguration{}}:
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case validating <- event.GenericEvent{Object: &admissionv1.ValidatingWebhookConfiguration{}}:
		}
	}
}

func (r *Reconciler) everyMutating(ctx context.Context, _ client.Object) []reconcile.Request {
	var list admissionv1.MutatingWebhookConfigurationList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil // the cache is gone: so is the process
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}

func (r *Reconciler) everyValidating(ctx context.Context, _ client.Object) []reconcile.Request {
	var list admissionv1.ValidatingWebhookConfigurationList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil // the cache is gone: so is the process
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}

// runnable is a Runnable that every replica runs, leader or not.
type runnable func(context.Context) error

func (r runnable) Start(ctx context.Context) error { return r(ctx) }

// NeedLeaderElection is false: writing the same content twice is harmless.
func (runnable) NeedLeaderElection() bool { return false }
