// SPDX-License-Identifier: Apache-2.0

// Package rootcert keeps the ConfigMap istio-ca-root-cert in every namespace of
// a member, so that each proxy can verify the control plane before it has a
// certificate of its own. It runs in the member's control plane.
package rootcert

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	// Name of the ConfigMap and Key of the PEM bundle in it, as Istio has them.
	Name = "istio-ca-root-cert"
	Key  = "root-cert.pem"

	fieldManager = "isthmesh-istiod"
	configLabel  = "istio.io/config"
)

// Reconciler writes the roots into each namespace.
type Reconciler struct {
	Client client.Client
	// Roots is the PEM bundle that holds now; empty while the CA isn't up.
	Roots func() string
	// Changed tells that Roots returns something else.
	Changed <-chan struct{}
}

// SetupWithManager adds the controller to a manager, whose cache should hold
// only ConfigMaps of this name.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	all := make(chan event.GenericEvent)
	if err := mgr.Add(runnable(func(ctx context.Context) error { return r.relay(ctx, all) })); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("rootcert").
		For(&corev1.Namespace{}).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(namespaceOf)).
		WatchesRawSource(source.Channel(all, handler.EnqueueRequestsFromMapFunc(r.everyNamespace))).
		Complete(reconcile.AsReconciler(r.Client, r))
}

// Reconcile brings one namespace's ConfigMap to the roots that hold now.
func (r *Reconciler) Reconcile(ctx context.Context, ns *corev1.Namespace) (ctrl.Result, error) {
	roots := r.Roots()
	if roots == "" || !ns.DeletionTimestamp.IsZero() || ns.Status.Phase == corev1.NamespaceTerminating {
		return ctrl.Result{}, nil
	}
	var have corev1.ConfigMap
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: ns.Name, Name: Name}, &have)
	if err == nil && have.Data[Key] == roots {
		return ctrl.Result{}, nil
	}
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read ConfigMap %s/%s: %w", ns.Name, Name, err)
	}
	want := corev1apply.ConfigMap(Name, ns.Name).
		WithLabels(map[string]string{configLabel: "true"}).
		WithData(map[string]string{Key: roots})
	err = r.Client.Apply(ctx, want, client.FieldOwner(fieldManager), client.ForceOwnership)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
		return ctrl.Result{}, nil // the namespace is going
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("apply ConfigMap %s/%s: %w", ns.Name, Name, err)
	}
	return ctrl.Result{}, nil
}

// relay turns "the roots changed" into an event that reaches every namespace.
func (r *Reconciler) relay(ctx context.Context, all chan<- event.GenericEvent) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.Changed:
		}
		select {
		case <-ctx.Done():
			return nil
		case all <- event.GenericEvent{Object: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Name}}}:
		}
	}
}

func (r *Reconciler) everyNamespace(ctx context.Context, _ client.Object) []reconcile.Request {
	var list corev1.NamespaceList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil // the cache is gone: so is the process
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}

func namespaceOf(_ context.Context, o client.Object) []reconcile.Request {
	if o.GetName() != Name {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: o.GetNamespace()}}}
}

// runnable is a Runnable that every replica runs, leader or not.
type runnable func(context.Context) error

func (r runnable) Start(ctx context.Context) error { return r(ctx) }

// NeedLeaderElection is false: applying the same content twice is harmless.
func (runnable) NeedLeaderElection() bool { return false }
