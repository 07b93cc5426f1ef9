// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/controllers/remote"
	"github.com/isthmesh/isthmesh/controllers/status"
)

const (
	// withdrawal is the time that other members have to drop what a member
	// exported, before its gateway goes. They do it at once; calls that are under
	// way end in it.
	withdrawal = 5 * time.Second
	// unreachableTimeout stands where the spec says nothing.
	unreachableTimeout = 2 * time.Minute
	// whileLeaving is how often a member that goes is looked at.
	whileLeaving = 2 * time.Second
)

// leave takes a deleted member out of its federation and its cluster, and then
// lets the object go. It always ends: after the spec's unreachableTimeout with
// an event that says what is left.
func (r *Reconciler) leave(ctx context.Context, s *scope) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(s.member, v1alpha1.Finalizer) {
		return ctrl.Result{}, nil
	}
	s.facts.Federation = s.member.Status.Federation
	s.facts.Network, s.facts.TrustDomain = s.member.Status.Network, s.member.Status.TrustDomain
	before := s.member.Status.Conditions
	done, err := r.cleanUp(ctx, s, s.member.DeletionTimestamp.Time)
	if err != nil {
		return ctrl.Result{}, err
	}
	if done {
		controllerutil.RemoveFinalizer(s.member, v1alpha1.Finalizer)
		return ctrl.Result{}, client.IgnoreNotFound(r.Client.Update(ctx, s.member))
	}
	if err := r.patchStatus(ctx, s); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	status.Record(r.Recorder, s.member, status.Transitions(before, s.member.Status.Conditions))
	return ctrl.Result{RequeueAfter: whileLeaving}, nil
}

// released takes a member out of a federation that is deleted. The MeshMember
// stays and belongs to none then.
func (r *Reconciler) released(ctx context.Context, s *scope) (bool, error) {
	if s.ending == nil {
		return true, nil
	}
	done, err := r.cleanUp(ctx, s, s.ending.DeletionTimestamp.Time)
	if err != nil {
		return false, err
	}
	if !done {
		s.facts.Federation = s.ending.Name
		s.facts.Network, s.facts.TrustDomain = s.member.Status.Network, s.member.Status.TrustDomain
		return false, nil
	}
	s.facts = Facts{Left: true, Unselected: &Problem{v1alpha1.ReasonNoFederation, fmt.Sprintf("MeshFederation %q, which the member was in, is deleted", s.ending.Name)}}
	return false, nil
}

// cleanUp undoes what was done in a member's cluster since it was to go. The
// hub has dropped the member already: it isn't in the list of members any more
// (Roster). It tells whether all is done that will be.
func (r *Reconciler) cleanUp(ctx context.Context, s *scope, since time.Time) (done bool, err error) {
	if s.member.Status.ClusterUID == "" {
		return true, nil // nothing was ever done there
	}
	until := since.Add(unreachableTimeout)
	if t := s.member.Spec.UnreachableTimeout; t != nil {
		until = since.Add(t.Duration)
	}
	s.facts.Leaving = &Leaving{Until: until}
	if wasServing(s.member) && r.Now().Before(since.Add(withdrawal)) {
		return false, nil
	}
	if s.member.Spec.DeletionPolicy == v1alpha1.DeletionPolicyRetain {
		r.say(s, corev1.EventTypeNormal, v1alpha1.EventRetained, "what is installed in the cluster stays, as spec.deletionPolicy says; "+mendLeft)
		return true, nil
	}
	left, problem, err := r.uninstall(ctx, s)
	if err != nil {
		return false, err
	}
	s.facts.Leaving.Blocked, s.facts.Leaving.Going = problem, left.Going
	switch {
	case problem == nil && len(left.Going) == 0:
		r.say(s, corev1.EventTypeNormal, v1alpha1.EventUninstalled, uninstalledNote(left))
		return true, nil
	case r.Now().Before(until):
		return false, nil
	default:
		r.say(s, corev1.EventTypeWarning, v1alpha1.EventLeftBehind, leftBehindNote(problem, left))
		return true, nil
	}
}

// wasServing tells whether other members may be sending traffic to a member.
func wasServing(member *v1alpha1.MeshMember) bool {
	return member.Status.Sync.ExportedServices > 0 && len(member.Status.Gateway.Addresses) > 0
}

// uninstall does one step of taking away what is installed.
func (r *Reconciler) uninstall(ctx context.Context, s *scope) (install.Left, *Problem, error) {
	cluster, err := r.connect(ctx, s.member)
	var known *remote.Error
	if errors.As(err, &known) {
		last := r.Clusters.Last(s.key()) // the Secret may go with the member
		if last == nil {
			return install.Left{}, &Problem{known.Reason, known.Message}, nil
		}
		cluster, err = last, nil
	}
	if err != nil {
		return install.Left{}, nil, err
	}
	identity, err := cluster.Identify(ctx)
	if err != nil {
		return install.Left{}, problemOf(err, v1alpha1.ReasonAPIServerError), nil
	}
	if identity.UID != s.member.Status.ClusterUID {
		return install.Left{}, nil, nil // another cluster by now: nothing of ours is there
	}
	opts := install.DeleteOptions{
		Owner:             r.owner(s.member),
		Secrets:           []string{v1alpha1.EnrolmentSecret},
		ConfigMapPrefixes: []string{"isthmesh-imports-"},
		RootConfigMap:     "istio-ca-root-cert",
	}
	if s.member.Status.Trust.IntermediateSerial != "" {
		opts.Secrets = append(opts.Secrets, caSecret)
	}
	left, err := install.Delete(ctx, cluster.Client, v1alpha1.SystemNamespace, opts)
	var owned *install.OwnedError
	if errors.As(err, &owned) {
		return install.Left{}, nil, nil // somebody else's by now
	}
	if err != nil {
		e := cluster.Explain(err)
		return left, &Problem{e.Reason, e.Message}, nil
	}
	return left, nil, nil
}

// say records an event about the member.
func (r *Reconciler) say(s *scope, kind, reason, note string) {
	status.Record(r.Recorder, s.member, []status.Event{{Type: kind, Reason: reason, Action: "Leave", Note: note}})
}

const mendLeft = "`isthmesh uninstall member --kubeconfig <its kubeconfig>` takes it away"

func uninstalledNote(left install.Left) string {
	note := "the mesh is taken out of the cluster; pods that still have a sidecar lose it when they are restarted"
	if len(left.Kept) > 0 {
		note += "; kept: " + status.Names(left.Kept)
	}
	return note
}

func leftBehindNote(problem *Problem, left install.Left) string {
	what := "namespace " + v1alpha1.SystemNamespace + ", webhook configurations, cluster roles and definitions of the mesh"
	if len(left.Going) > 0 {
		what = status.Names(left.Going)
	}
	why := "it took too long"
	if problem != nil {
		why = strings.TrimSuffix(problem.Message, ".")
	}
	return fmt.Sprintf("left behind in the cluster: %s, because %s; %s", what, why, mendLeft)
}
