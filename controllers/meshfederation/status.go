// SPDX-License-Identifier: Apache-2.0

package meshfederation

import (
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// expiring is how long before its end a root is spoken of.
const expiring = 90 * 24 * time.Hour

// Facts are what one reconcile found about a federation.
type Facts struct {
	// Root that signs, or why there is none.
	Root      *trust.Root
	RootError error
	// Address of the hub, or what to do about it.
	Address, AddressHint string
	// Members that the selector selects, sorted by name; SelectorError when it can't be read.
	Members       []Member
	SelectorError error
	// ExportedServices by at least one member.
	ExportedServices int
	// Leaving members, while the federation is deleted.
	Leaving []string
	// Deleting: the federation is on its way out.
	Deleting bool
}

// Member is what a federation has to know of one of its members.
type Member struct {
	Name  string
	Ready bool
	// Reason why it isn't.
	Reason string
}

// statusOf makes a federation's status of what it was and of what was found now.
func statusOf(federation *v1alpha1.MeshFederation, f Facts, now time.Time) v1alpha1.MeshFederationStatus {
	out := *federation.Status.DeepCopy()
	out.ObservedGeneration = federation.Generation
	out.HubAddress = f.Address
	out.ExportedServices = int32(f.ExportedServices)
	out.Members = count(f.Members)
	if f.Root != nil {
		until := metav1.NewTime(f.Root.Certificate.NotAfter)
		out.Trust = v1alpha1.TrustStatus{RootFingerprint: trust.Fingerprint(f.Root.Certificate), RootNotAfter: &until}
	}
	conditions := []metav1.Condition{trustReady(f, now), membersReady(federation, f)}
	out.Conditions = status.Merge(federation.Status.Conditions, complete(f, conditions), federation.Generation, metav1.NewTime(now))
	return out
}

// complete adds Ready and what goes with it. A hub that members can't reach is
// neither the trust's nor a member's fault, so it comes in between.
func complete(f Facts, conditions []metav1.Condition) []metav1.Condition {
	if f.Deleting {
		message := "members leave: " + status.Names(f.Leaving)
		return append([]metav1.Condition{
			status.False(v1alpha1.Ready, v1alpha1.ReasonDeleting, "%s", message),
			status.True(v1alpha1.Reconciling, v1alpha1.ReasonDeleting, "%s", message),
		}, conditions...)
	}
	if f.Address == "" && conditions[0].Status == metav1.ConditionTrue {
		return append([]metav1.Condition{
			status.False(v1alpha1.Ready, v1alpha1.ReasonHubAddressPending, "%s", f.AddressHint),
			status.True(v1alpha1.Reconciling, v1alpha1.ReasonHubAddressPending, "%s", f.AddressHint),
		}, conditions...)
	}
	return status.Complete(conditions)
}

func trustReady(f Facts, now time.Time) metav1.Condition {
	var known *rootError
	switch {
	case f.Root == nil && errors.As(f.RootError, &known):
		return status.False(v1alpha1.TrustReady, known.reason, "%s", known.message)
	case f.Root == nil && f.RootError != nil:
		return status.False(v1alpha1.TrustReady, v1alpha1.ReasonRootNotReady, "%v", f.RootError)
	case f.Root == nil:
		return status.Unknown(v1alpha1.TrustReady, v1alpha1.ReasonProgressing, "the root has not been looked for yet")
	case f.Root.Certificate.NotAfter.Sub(now) < expiring:
		return status.True(v1alpha1.TrustReady, v1alpha1.ReasonRootExpiring,
			"the root expires at %s, and the CAs of all members with it", f.Root.Certificate.NotAfter.UTC().Format(time.RFC3339))
	default:
		return status.True(v1alpha1.TrustReady, v1alpha1.ReasonIssued, "")
	}
}

func membersReady(federation *v1alpha1.MeshFederation, f Facts) metav1.Condition {
	var missing []string
	for _, m := range f.Members {
		if !m.Ready {
			missing = append(missing, m.Name+" ("+m.Reason+")")
		}
	}
	switch {
	case f.SelectorError != nil:
		return status.False(v1alpha1.MembersReady, v1alpha1.ReasonSelectorInvalid, "spec.memberSelector: %v", f.SelectorError)
	case len(f.Members) == 0:
		return status.False(v1alpha1.MembersReady, v1alpha1.ReasonNoMembers,
			"no MeshMember in namespace %q has the labels of spec.memberSelector (%s)", federation.Namespace, selectorOf(federation))
	case len(missing) > 0:
		return status.False(v1alpha1.MembersReady, v1alpha1.ReasonMembersNotReady,
			"%d of %d members are not ready: %s; `kubectl describe meshmember` tells more", len(missing), len(f.Members), status.Names(missing))
	default:
		return status.True(v1alpha1.MembersReady, v1alpha1.ReasonMembersReady, "")
	}
}

func selectorOf(federation *v1alpha1.MeshFederation) string {
	return metav1.FormatLabelSelector(&federation.Spec.MemberSelector)
}

func count(members []Member) v1alpha1.MemberCount {
	out := v1alpha1.MemberCount{Total: int32(len(members))}
	for _, m := range members {
		if m.Ready {
			out.Ready++
		} else if len(out.NotReady) < status.MostNames {
			out.NotReady = append(out.NotReady, m.Name)
		}
	}
	slices.Sort(out.NotReady)
	out.Summary = fmt.Sprintf("%d/%d", out.Ready, out.Total)
	return out
}
