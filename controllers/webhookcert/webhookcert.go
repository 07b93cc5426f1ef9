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
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/isthmesh/isthmesh/controllers/relay"
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
	again := relay.New(r.Client, r.Changed)
	if !r.ValidatingOnly {
		err := ctrl.NewControllerManagedBy(mgr).Named("webhookcert-mutating").
			For(&admissionv1.MutatingWebhookConfiguration{}).
			WatchesRawSource(again.Every(&admissionv1.MutatingWebhookConfigurationList{})).
			Complete(reconcile.AsReconciler(r.Client, reconcile.ObjectReconciler[*admissionv1.MutatingWebhookConfiguration](mutatingReconciler{r})))
		if err != nil {
			return err
		}
	}
	err := ctrl.NewControllerManagedBy(mgr).Named("webhookcert-validating").
		For(&admissionv1.ValidatingWebhookConfiguration{}).
		WatchesRawSource(again.Every(&admissionv1.ValidatingWebhookConfigurationList{})).
		Complete(reconcile.AsReconciler(r.Client, reconcile.ObjectReconciler[*admissionv1.ValidatingWebhookConfiguration](validatingReconciler{r})))
	if err != nil {
		return err
	}
	return mgr.Add(again)
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
