// SPDX-License-Identifier: Apache-2.0

package meshfederation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/federation/hub"
)

// Streams counts what a federation's members export; hub.Server does.
type Streams interface {
	FederationStatus(name string) hub.FederationStatus
}

// Reconciler of MeshFederations.
type Reconciler struct {
	Client   client.Client
	Roots    *Roots
	Service  *Service
	Streams  Streams
	Recorder status.Recorder
	Now      func() time.Time
	// StreamChanged tells of which federations the count changed; nil is never.
	StreamChanged <-chan event.GenericEvent
}

// How soon a federation is looked at again when nothing calls for it sooner.
const (
	whileWaiting = 5 * time.Second
	whileReady   = 5 * time.Minute

	afterConflict = 50 * time.Millisecond
)

// scope is what the phases of one reconcile share.
type scope struct {
	federation *v1alpha1.MeshFederation
	facts      Facts
}

// Reconcile brings one federation nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &scope{federation: &v1alpha1.MeshFederation{}}
	if err := r.Client.Get(ctx, req.NamespacedName, s.federation); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	result, err := r.keep(ctx, s)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: afterConflict}, nil // somebody wrote the federation since it was read
	}
	return result, err
}

func (r *Reconciler) keep(ctx context.Context, s *scope) (ctrl.Result, error) {
	s.facts.Deleting = s.federation.DeletionTimestamp != nil
	if !s.facts.Deleting && controllerutil.AddFinalizer(s.federation, v1alpha1.Finalizer) {
		return ctrl.Result{}, client.IgnoreNotFound(r.Client.Update(ctx, s.federation))
	}
	before := s.federation.Status.Conditions
	for _, phase := range []func(context.Context, *scope) error{r.rooted, r.addressed, r.counted} {
		if err := phase(ctx, s); err != nil {
			return ctrl.Result{}, err
		}
	}
	if s.facts.Deleting && len(s.facts.Leaving) == 0 {
		controllerutil.RemoveFinalizer(s.federation, v1alpha1.Finalizer)
		return ctrl.Result{}, client.IgnoreNotFound(r.Client.Update(ctx, s.federation))
	}
	if err := r.patchStatus(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	status.Record(r.Recorder, s.federation, status.Transitions(before, s.federation.Status.Conditions))
	if status.IsTrue(s.federation.Status.Conditions, v1alpha1.Ready) {
		return ctrl.Result{RequeueAfter: whileReady}, nil
	}
	return ctrl.Result{RequeueAfter: whileWaiting}, nil
}

// rooted reads the root, and makes it where it is to be made.
func (r *Reconciler) rooted(ctx context.Context, s *scope) error {
	if s.facts.Deleting {
		s.facts.Root, s.facts.RootError = r.Roots.Root(ctx, s.federation)
		return nil
	}
	root, made, err := r.Roots.Ensure(ctx, s.federation)
	s.facts.Root, s.facts.RootError = root, err
	if made {
		status.Record(r.Recorder, s.federation, []status.Event{{
			Type: corev1.EventTypeNormal, Reason: v1alpha1.EventRootCreated, Action: "CreateRoot",
			Note: fmt.Sprintf("made a root, good until %s, in Secret %q: keep a copy of it", root.Certificate.NotAfter.UTC().Format(time.RFC3339), SecretName(s.federation)),
		}})
	}
	return nil
}

// addressed finds where members reach the hub.
func (r *Reconciler) addressed(ctx context.Context, s *scope) error {
	var err error
	s.facts.Address, s.facts.AddressHint, err = r.Service.Address(ctx)
	return err
}

// counted looks at the members and at what they export.
func (r *Reconciler) counted(ctx context.Context, s *scope) error {
	var members v1alpha1.MeshMemberList
	if err := r.Client.List(ctx, &members, client.InNamespace(s.federation.Namespace)); err != nil {
		return fmt.Errorf("list MeshMembers: %w", err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&s.federation.Spec.MemberSelector)
	s.facts.SelectorError = err
	for i := range members.Items {
		m := &members.Items[i]
		in := m.Status.Federation == s.federation.Name
		if in && s.facts.Deleting {
			s.facts.Leaving = append(s.facts.Leaving, m.Name)
		}
		if err == nil && selector.Matches(labels.Set(m.Labels)) {
			s.facts.Members = append(s.facts.Members, memberOf(m, in))
		}
	}
	slices.SortFunc(s.facts.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(s.facts.Leaving)
	s.facts.ExportedServices = r.Streams.FederationStatus(s.federation.Namespace + "/" + s.federation.Name).ExportedServices
	return nil
}

// memberOf reads what a federation has to know of a member that it selects.
func memberOf(m *v1alpha1.MeshMember, in bool) Member {
	ready := status.Find(m.Status.Conditions, v1alpha1.Ready)
	switch {
	case ready == nil:
		return Member{Name: m.Name, Reason: v1alpha1.ReasonProgressing}
	case !in && m.Status.Federation != "":
		return Member{Name: m.Name, Reason: "in federation " + m.Status.Federation}
	case ready.Status != metav1.ConditionTrue || !in:
		return Member{Name: m.Name, Reason: ready.Reason}
	default:
		return Member{Name: m.Name, Ready: m.Status.ObservedGeneration == m.Generation, Reason: v1alpha1.ReasonProgressing}
	}
}

func (r *Reconciler) patchStatus(ctx context.Context, s *scope) error {
	was := s.federation.DeepCopy()
	s.federation.Status = statusOf(s.federation, s.facts, r.Now())
	if equality.Semantic.DeepEqual(was.Status, s.federation.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, s.federation, patch); err != nil {
		return fmt.Errorf("write status of MeshFederation %s/%s: %w", s.federation.Namespace, s.federation.Name, err)
	}
	return nil
}

// SetupWithManager adds the controller to a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).Named("meshfederation").
		For(&v1alpha1.MeshFederation{}).
		Watches(&v1alpha1.MeshMember{}, handler.EnqueueRequestsFromMapFunc(r.federationsOfNamespace)).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.federationsOfSecret)).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(r.federationsOfService))
	if r.StreamChanged != nil {
		b = b.WatchesRawSource(source.Channel(r.StreamChanged, &handler.EnqueueRequestForObject{}))
	}
	return b.Complete(r)
}

func (r *Reconciler) federationsOfNamespace(ctx context.Context, o client.Object) []reconcile.Request {
	return r.requests(ctx, func(f *v1alpha1.MeshFederation) bool { return f.Namespace == o.GetNamespace() })
}

func (r *Reconciler) federationsOfSecret(ctx context.Context, o client.Object) []reconcile.Request {
	return r.requests(ctx, func(f *v1alpha1.MeshFederation) bool {
		return f.Namespace == o.GetNamespace() && SecretName(f) == o.GetName()
	})
}

func (r *Reconciler) federationsOfService(ctx context.Context, o client.Object) []reconcile.Request {
	if client.ObjectKeyFromObject(o) != r.Service.Key {
		return nil
	}
	return r.requests(ctx, func(*v1alpha1.MeshFederation) bool { return true })
}

func (r *Reconciler) requests(ctx context.Context, which func(*v1alpha1.MeshFederation) bool) []reconcile.Request {
	var federations v1alpha1.MeshFederationList
	if err := r.Client.List(ctx, &federations); err != nil {
		return nil // the cache is gone: so is the process
	}
	var out []reconcile.Request
	for i := range federations.Items {
		if f := &federations.Items[i]; which(f) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(f)})
		}
	}
	return out
}
