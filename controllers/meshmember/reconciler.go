// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/remote"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Streams tells how members' streams to the hub fare; hub.Server does.
type Streams interface {
	Status(hub.Ref) hub.Status
}

// Roots reads the root of a federation.
type Roots interface {
	Root(ctx context.Context, federation *v1alpha1.MeshFederation) (*trust.Root, error)
}

// Reconciler of MeshMembers.
type Reconciler struct {
	// Client of the hub's cluster: it reads Secrets live and the rest from a cache.
	Client   client.Client
	Clusters *remote.Clusters
	Streams  Streams
	Roots    Roots
	Recorder status.Recorder
	// HubID is the UID of the hub's cluster.
	HubID  string
	Images Images
	Now    func() time.Time
	Rand   io.Reader
	// StreamChanged tells of which members the stream's status changed; nil is never.
	StreamChanged <-chan event.GenericEvent

	mu        sync.Mutex
	installed map[types.NamespacedName]installed
	connected map[types.NamespacedName]time.Time // when the stream was last seen
}

// How soon a member is looked at again when nothing calls for it sooner.
const (
	whileProgressing = 2 * time.Second
	whileUnreachable = 10 * time.Second
	whileReady       = 30 * time.Second
	afterConflict    = 50 * time.Millisecond
)

// scope is what the phases of one reconcile share.
type scope struct {
	// member as read; enrolled replaces it when it writes a token's hash.
	member *v1alpha1.MeshMember
	// others are all MeshMembers of the hub, this one too. Set by selected.
	others []v1alpha1.MeshMember
	// federation that the member is in. Set by selected.
	federation *v1alpha1.MeshFederation
	// ending is the member's federation while that is deleted. Set by selected.
	ending *v1alpha1.MeshFederation
	// cluster of the member. Set by reached.
	cluster *remote.Cluster
	facts   Facts
}

func (s *scope) key() types.NamespacedName { return client.ObjectKeyFromObject(s.member) }

// ref is the member's name on the wire.
func (s *scope) ref() hub.Ref {
	return hub.Ref{Federation: s.member.Namespace + "/" + s.facts.Federation, Member: s.member.Name}
}

// phase does one thing, can be done again, and records facts. It tells whether
// the next one may run; an error is one of the hub's own API server.
type phase func(context.Context, *scope) (next bool, err error)

// Reconcile brings one member nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &scope{member: &v1alpha1.MeshMember{}}
	if err := r.Client.Get(ctx, req.NamespacedName, s.member); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	next := r.keep
	if s.member.DeletionTimestamp != nil {
		next = r.leave
	}
	result, err := next(ctx, s)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: afterConflict}, nil // somebody wrote the member since it was read
	}
	return result, err
}

// keep runs the phases of a member that stays.
func (r *Reconciler) keep(ctx context.Context, s *scope) (ctrl.Result, error) {
	if controllerutil.AddFinalizer(s.member, v1alpha1.Finalizer) {
		return ctrl.Result{}, client.IgnoreNotFound(r.Client.Update(ctx, s.member))
	}
	before := s.member.Status.Conditions
	err := r.run(ctx, s, r.selected, r.released, r.reached, r.identified, r.installs, r.enrolled, r.available)
	if err != nil {
		return ctrl.Result{}, err
	}
	r.streamed(s)
	if err := r.patchStatus(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	status.Record(r.Recorder, s.member, status.Transitions(before, s.member.Status.Conditions))
	return ctrl.Result{RequeueAfter: r.again(s)}, nil
}

func (r *Reconciler) run(ctx context.Context, s *scope, phases ...phase) error {
	for _, p := range phases {
		next, err := p(ctx, s)
		if err != nil || !next {
			return err
		}
	}
	return nil
}

// patchStatus writes the status that follows from the facts, if it differs. It
// never overwrites what somebody else wrote since the member was read.
func (r *Reconciler) patchStatus(ctx context.Context, s *scope) error {
	was := s.member.DeepCopy()
	s.member.Status = statusOf(s.member, s.facts, r.Now())
	if equality.Semantic.DeepEqual(was.Status, s.member.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, s.member, patch); err != nil {
		return fmt.Errorf("write status of MeshMember %s: %w", s.key(), err)
	}
	return nil
}

func (r *Reconciler) again(s *scope) time.Duration {
	f := s.facts
	switch {
	case f.Leaving != nil && !f.Left:
		return whileLeaving
	case f.Unselected != nil:
		return 0 // a federation or the member's labels have to change
	case f.Connect != nil && f.Connect.Problem != nil:
		return whileUnreachable
	case status.IsTrue(s.member.Status.Conditions, v1alpha1.Ready) && !f.Awaited:
		return whileReady
	default:
		return whileProgressing
	}
}

// streamed asks the hub for the member's stream. It is known whether the
// cluster is reachable or not.
func (r *Reconciler) streamed(s *scope) {
	if s.facts.Federation == "" || s.member.Status.Trust.IntermediateSerial == "" {
		return
	}
	stream := r.Streams.Status(s.ref())
	if r.awaited(s, stream.Connected > 0) {
		s.facts.Awaited = true
		return
	}
	s.facts.Stream = &stream
}

// grace is how long a stream may be gone before anybody is told.
const grace = 30 * time.Second

// awaited tells whether a stream that was well is gone for a moment only. To a
// hub that has just started all of them are.
func (r *Reconciler) awaited(s *scope, connected bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.connected == nil {
		r.connected = map[types.NamespacedName]time.Time{}
	}
	last, known := r.connected[s.key()]
	if connected || !known {
		last = r.Now()
		r.connected[s.key()] = last
	}
	return !connected && r.Now().Sub(last) < grace && status.IsTrue(s.member.Status.Conditions, v1alpha1.EndpointsSynced)
}

func (r *Reconciler) forget(member types.NamespacedName) {
	r.Clusters.Forget(member)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.installed, member)
	delete(r.connected, member)
}
