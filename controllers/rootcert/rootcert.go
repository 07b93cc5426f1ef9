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
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/isthmesh/isthmesh/controllers/relay"
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
	again := relay.New(r.Client, r.Changed)
	every := again.Every(&corev1.NamespaceList{})
	if err := mgr.Add(again); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("rootcert").
		For(&corev1.Namespace{}).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(namespaceOf)).
		WatchesRawSource(every).
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

func namespaceOf(_ context.Context, o client.Object) []reconcile.Request {
	if o.GetName() != Name {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: o.GetNamespace()}}}
}
