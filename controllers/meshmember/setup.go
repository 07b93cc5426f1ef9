// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// concurrency is how many members are looked at at once: enough that many dead
// ones, each of which takes its five seconds, don't delay the others.
const concurrency = 64

// bySecret indexes members by the Secret with their kubeconfig.
const bySecret = "kubeconfigSecret"

// SetupWithManager adds the controller to a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.MeshMember{}, bySecret, func(o client.Object) []string {
		if member, ok := o.(*v1alpha1.MeshMember); ok {
			return []string{SecretName(member)}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("index MeshMembers: %w", err)
	}
	b := ctrl.NewControllerManagedBy(mgr).Named("meshmember").
		For(&v1alpha1.MeshMember{}).
		Watches(&v1alpha1.MeshFederation{}, handler.EnqueueRequestsFromMapFunc(r.membersOfNamespace), builder.WithPredicates(concernsMembers)).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.membersOfSecret)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency})
	if r.StreamChanged != nil {
		b = b.WatchesRawSource(source.Channel(r.StreamChanged, &handler.EnqueueRequestForObject{}))
	}
	return b.Complete(r)
}

// concernsMembers leaves out what a federation's status only counts: else each
// member that becomes ready would call for all others.
var concernsMembers = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	was, ok := e.ObjectOld.(*v1alpha1.MeshFederation)
	is, alsoOK := e.ObjectNew.(*v1alpha1.MeshFederation)
	return !ok || !alsoOK || was.Generation != is.Generation || !was.DeletionTimestamp.Equal(is.DeletionTimestamp) ||
		was.Status.HubAddress != is.Status.HubAddress || was.Status.Trust.RootFingerprint != is.Status.Trust.RootFingerprint ||
		was.Annotations[v1alpha1.ReplaceRootAnnotation] != is.Annotations[v1alpha1.ReplaceRootAnnotation]
}}

func (r *Reconciler) membersOfNamespace(ctx context.Context, o client.Object) []reconcile.Request {
	return r.requests(ctx, client.InNamespace(o.GetNamespace()))
}

func (r *Reconciler) membersOfSecret(ctx context.Context, o client.Object) []reconcile.Request {
	return r.requests(ctx, client.InNamespace(o.GetNamespace()), client.MatchingFields{bySecret: o.GetName()})
}

func (r *Reconciler) requests(ctx context.Context, which ...client.ListOption) []reconcile.Request {
	var members v1alpha1.MeshMemberList
	if err := r.Client.List(ctx, &members, which...); err != nil {
		return nil // the cache is gone: so is the process
	}
	out := make([]reconcile.Request, len(members.Items))
	for i := range members.Items {
		out[i] = reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&members.Items[i])}
	}
	return out
}
