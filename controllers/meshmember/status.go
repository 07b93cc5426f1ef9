// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/status"
)

// statusOf makes a member's status of what it was and of what was found now.
// What could not be found out stays as it was, so that the rest of the
// federation goes on with it.
func statusOf(member *v1alpha1.MeshMember, f Facts, now time.Time) v1alpha1.MeshMemberStatus {
	out := *member.Status.DeepCopy()
	if f.Left || otherCluster(member, f) {
		out = v1alpha1.MeshMemberStatus{}
	}
	out.ObservedGeneration = member.Generation
	out.Federation = f.Federation
	if f.Federation != "" {
		out.Network, out.TrustDomain = f.Network, f.TrustDomain
	} else {
		out.Sync, out.Gateway.Unreached = v1alpha1.SyncStatus{}, nil
	}
	if f.Identity.UID != "" {
		out.ClusterUID, out.KubernetesVersion = f.Identity.UID, f.Identity.Version
	}
	if f.Address != nil && len(f.Address.Found) > 0 {
		out.Gateway.Addresses, out.Gateway.Summary = f.Address.Found, summary(f.Address.Found)
	}
	if f.Stream != nil {
		out.Sync = syncStatus(f)
		out.Gateway.Unreached = unreachedStatus(f.Stream.Unreached)
	}
	conditions := status.Complete([]metav1.Condition{
		reachable(f), trustReady(f, out.Trust, now), controlPlaneReady(f), gatewayReady(f, member.Status), endpointsSynced(f, member.Status, now),
	})
	out.Conditions = status.Merge(member.Status.Conditions, conditions, member.Generation, metav1.NewTime(now))
	return out
}

// otherCluster tells whether the kubeconfig leads to another cluster than
// before: nothing that was known, a CA least of all, is this one's.
func otherCluster(member *v1alpha1.MeshMember, f Facts) bool {
	was := member.Status.ClusterUID
	return was != "" && f.Identity.UID != "" && was != f.Identity.UID
}

func reachable(f Facts) metav1.Condition {
	switch {
	case f.Leaving != nil && f.Leaving.Blocked != nil:
		return status.False(v1alpha1.Reachable, v1alpha1.ReasonDeletionBlocked,
			"%s; the hub waits until %s, and then lets the object go and leaves what is installed", f.Leaving.Blocked.Message, f.Leaving.Until.UTC().Format(time.RFC3339))
	case f.Leaving != nil:
		return status.Unknown(v1alpha1.Reachable, v1alpha1.ReasonDeleting, "%s", leavingMessage(f.Leaving))
	case f.Unselected != nil:
		return status.False(v1alpha1.Reachable, f.Unselected.Reason, "%s", f.Unselected.Message)
	case f.Connect == nil:
		return status.Unknown(v1alpha1.Reachable, v1alpha1.ReasonProgressing, "the cluster has not been tried yet")
	case f.Connect.Problem != nil:
		return status.False(v1alpha1.Reachable, f.Connect.Problem.Reason, "%s", f.Connect.Problem.Message)
	default:
		return status.True(v1alpha1.Reachable, v1alpha1.ReasonConnected, "")
	}
}

func leavingMessage(l *Leaving) string {
	if len(l.Going) == 0 {
		return "withdrawn from the federation; other members drop its services"
	}
	return "deleting " + status.Names(l.Going) + " in the cluster"
}

func trustReady(f Facts, t v1alpha1.MemberTrustStatus, now time.Time) metav1.Condition {
	valid := t.IntermediateNotAfter != nil && now.Before(t.IntermediateNotAfter.Time)
	switch {
	case f.Trust != nil && f.Trust.Problem != nil:
		return status.False(v1alpha1.TrustReady, f.Trust.Problem.Reason, "%s", f.Trust.Problem.Message)
	case f.Trust != nil && f.Trust.Waiting && valid:
		return status.True(v1alpha1.TrustReady, v1alpha1.ReasonIssued, "a token to enrol again is with the member")
	case f.Trust != nil && f.Trust.Waiting:
		return status.False(v1alpha1.TrustReady, v1alpha1.ReasonEnrolling,
			"the member's control plane has a token and hasn't used it yet: its pods must be up and reach the hub at %s", f.HubAddress)
	case t.IntermediateSerial == "":
		return status.Unknown(v1alpha1.TrustReady, v1alpha1.ReasonNotTried, "%s", notTried(f))
	case !valid:
		return status.False(v1alpha1.TrustReady, v1alpha1.ReasonIntermediateExpired,
			"the member's CA certificate expired at %s: it enrols again as soon as the hub reaches it", t.IntermediateNotAfter.UTC().Format(time.RFC3339))
	default:
		return status.True(v1alpha1.TrustReady, v1alpha1.ReasonIssued, "")
	}
}

func controlPlaneReady(f Facts) metav1.Condition {
	return component(v1alpha1.ControlPlaneReady, f, f.ControlPlane)
}

func gatewayReady(f Facts, was v1alpha1.MeshMemberStatus) metav1.Condition {
	c, before := component(v1alpha1.GatewayReady, f, f.Gateway), status.Find(was.Conditions, v1alpha1.GatewayReady)
	switch {
	case c.Status != metav1.ConditionTrue:
	case f.Address != nil && f.Address.Problem != nil:
		return status.False(v1alpha1.GatewayReady, f.Address.Problem.Reason, "%s", f.Address.Problem.Message)
	case f.Awaited && before != nil && before.Reason == v1alpha1.ReasonGatewayUnreached:
		return *before // nobody has said otherwise
	case f.Stream != nil && len(f.Stream.Unreached) > 0:
		return status.False(v1alpha1.GatewayReady, v1alpha1.ReasonGatewayUnreached, "%s", unreachedMessage(f.Stream.Unreached))
	}
	return c
}

func component(kind string, f Facts, c *Component) metav1.Condition {
	switch {
	case c == nil:
		return status.Unknown(kind, v1alpha1.ReasonNotTried, "%s", notTried(f))
	case c.Problem != nil:
		return status.False(kind, c.Problem.Reason, "%s", c.Problem.Message)
	case c.Waiting != "":
		return status.False(kind, v1alpha1.ReasonRollingOut, "%s", c.Waiting)
	default:
		return status.True(kind, v1alpha1.ReasonAvailable, "")
	}
}

// joining is the time that a control plane has to come up with its new CA.
const joining = time.Minute

func endpointsSynced(f Facts, was v1alpha1.MeshMemberStatus, now time.Time) metav1.Condition {
	s := f.Stream
	if before := status.Find(was.Conditions, v1alpha1.EndpointsSynced); f.Awaited && before != nil {
		return *before
	}
	switch {
	case s == nil:
		return status.Unknown(v1alpha1.EndpointsSynced, v1alpha1.ReasonNotTried, "%s", notTried(f))
	case s.Connected == 0 && was.Trust.EnrolledAt != nil && now.Sub(was.Trust.EnrolledAt.Time) < joining:
		return status.False(v1alpha1.EndpointsSynced, v1alpha1.ReasonProgressing, "the member's control plane has a CA, and comes up to open its stream to the hub")
	case s.Connected == 0:
		cause := ""
		if s.LastError != "" {
			cause = " (" + s.LastError + ")"
		}
		return status.False(v1alpha1.EndpointsSynced, v1alpha1.ReasonDisconnected,
			"the member's control plane has no stream to the hub%s: see that its pods are up and reach %s", cause, f.HubAddress)
	case !s.Synced:
		return status.False(v1alpha1.EndpointsSynced, v1alpha1.ReasonSyncing, "the member and the hub exchange their services")
	case len(s.Refused) > 0:
		return status.True(v1alpha1.EndpointsSynced, v1alpha1.ReasonExportsRefused, "%s", refusedMessage(f))
	default:
		return status.True(v1alpha1.EndpointsSynced, v1alpha1.ReasonSynced, "")
	}
}

func refusedMessage(f Facts) string {
	r := f.Stream.Refused[0]
	message := fmt.Sprintf("%s/%s is not exported: %s", r.Namespace, r.Name, r.Message)
	if more := len(f.Stream.Refused) - 1; more > 0 {
		message += fmt.Sprintf(" (and %d more)", more)
	}
	return message
}

// notTried says what has to be right before the rest can be known.
func notTried(f Facts) string {
	switch {
	case f.Leaving != nil:
		return "the member is leaving"
	case f.Unselected != nil:
		return "the member is in no federation"
	case f.Connect == nil || f.Connect.Problem != nil:
		return "the cluster must be reachable first"
	default:
		return "what comes before must succeed first"
	}
}

func syncStatus(f Facts) v1alpha1.SyncStatus {
	out := v1alpha1.SyncStatus{
		Connected:        int32(f.Stream.Connected),
		ExportedServices: int32(f.Stream.Exported),
		ImportedServices: int32(f.Stream.Imported),
	}
	for _, r := range f.Stream.Refused {
		if len(out.RefusedExports) < status.MostNames {
			out.RefusedExports = append(out.RefusedExports, r.Namespace+"/"+r.Name)
		}
	}
	return out
}

// summary of addresses fits into a column.
func summary(addresses []string) string {
	if len(addresses) == 1 {
		return addresses[0]
	}
	return fmt.Sprintf("%s (+%d)", addresses[0], len(addresses)-1)
}
