// SPDX-License-Identifier: Apache-2.0

// Package status turns what reconcilers found into conditions and events. It is
// pure: facts in, conditions out; the reconcilers write them. A condition's
// reason and message are the same as long as what they tell is.
package status

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// True makes a condition that holds.
func True(kind, reason, format string, args ...any) metav1.Condition {
	return is(kind, metav1.ConditionTrue, reason, format, args)
}

// False makes a condition that doesn't hold.
func False(kind, reason, format string, args ...any) metav1.Condition {
	return is(kind, metav1.ConditionFalse, reason, format, args)
}

// Unknown makes a condition of which nobody knows whether it holds.
func Unknown(kind, reason, format string, args ...any) metav1.Condition {
	return is(kind, metav1.ConditionUnknown, reason, format, args)
}

func is(kind string, s metav1.ConditionStatus, reason, format string, args []any) metav1.Condition {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	return metav1.Condition{Type: kind, Status: s, Reason: reason, Message: clip(message)}
}

// clip keeps a message within what the API takes, with room for people.
func clip(message string) string {
	const most = 2000
	if runes := []rune(message); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return message
}

// Find looks a condition up by its type; nil when there is none.
func Find(conditions []metav1.Condition, kind string) *metav1.Condition {
	i := slices.IndexFunc(conditions, func(c metav1.Condition) bool { return c.Type == kind })
	if i < 0 {
		return nil
	}
	return &conditions[i]
}

// IsTrue tells whether a condition is there and holds.
func IsTrue(conditions []metav1.Condition, kind string) bool {
	c := Find(conditions, kind)
	return c != nil && c.Status == metav1.ConditionTrue
}

// Complete takes an object's conditions in the order of its flow, each of which
// needs those before it, and puts those in front that follow from them: Ready,
// and Reconciling or Stalled, as kstatus has them. Ready takes its reason from
// the first that doesn't hold, or rather from the first that is a fault and not
// merely under way. What only somebody else can mend makes the object Stalled.
func Complete(conditions []metav1.Condition) []metav1.Condition {
	missing := slices.DeleteFunc(slices.Clone(conditions), func(c metav1.Condition) bool { return c.Status == metav1.ConditionTrue })
	if len(missing) == 0 {
		return append([]metav1.Condition{True(v1alpha1.Ready, v1alpha1.ReasonReady, "")}, conditions...)
	}
	cause := missing[0]
	if i := slices.IndexFunc(missing, func(c metav1.Condition) bool { return stalling[c.Reason] || faults[c.Reason] }); i >= 0 {
		cause = missing[i]
	}
	ready := metav1.Condition{Type: v1alpha1.Ready, Status: cause.Status, Reason: cause.Reason, Message: cause.Message}
	second := True(v1alpha1.Reconciling, cause.Reason, "%s", cause.Message)
	if Stalls(cause.Reason) {
		second.Type = v1alpha1.Stalled
	}
	return append([]metav1.Condition{ready, second}, conditions...)
}

// stalling are the reasons that somebody has to mend: trying again doesn't.
var stalling = map[string]bool{
	v1alpha1.ReasonKubeconfigSecretNotFound: true,
	v1alpha1.ReasonKubeconfigInvalid:        true,
	v1alpha1.ReasonLoopbackAPIServer:        true,
	v1alpha1.ReasonAPIServerUntrusted:       true,
	v1alpha1.ReasonUnauthorized:             true,
	v1alpha1.ReasonForbidden:                true,
	v1alpha1.ReasonVersionSkew:              true,
	v1alpha1.ReasonClusterAlreadyMember:     true,
	v1alpha1.ReasonNoFederation:             true,
	v1alpha1.ReasonFederationConflict:       true,
	v1alpha1.ReasonRootSecretNotFound:       true,
	v1alpha1.ReasonRootLost:                 true,
	v1alpha1.ReasonRootChanged:              true,
	v1alpha1.ReasonRootInvalid:              true,
	v1alpha1.ReasonTrustDomainInvalid:       true,
	v1alpha1.ReasonForeignCA:                true,
	v1alpha1.ReasonValuesInvalid:            true,
	v1alpha1.ReasonRenderFailed:             true,
	v1alpha1.ReasonInstallConflict:          true,
	v1alpha1.ReasonSelectorInvalid:          true,
}

// faults are reasons that may mend themselves, and are more than under way.
var faults = map[string]bool{
	v1alpha1.ReasonDeletionBlocked:      true,
	v1alpha1.ReasonAPIServerUnreachable: true,
	v1alpha1.ReasonAPIServerError:       true,
	v1alpha1.ReasonInstallFailed:        true,
	v1alpha1.ReasonImagePullFailed:      true,
	v1alpha1.ReasonCrashing:             true,
	v1alpha1.ReasonUnschedulable:        true,
	v1alpha1.ReasonIntermediateExpired:  true,
}

// Stalls tells whether a reason needs somebody to change something.
func Stalls(reason string) bool { return stalling[reason] }

// Merge stamps conditions with the generation that they speak of, and with the
// time at which their status last changed: now, unless it was the same before.
// Conditions that are no longer there are dropped.
func Merge(before, after []metav1.Condition, generation int64, now metav1.Time) []metav1.Condition {
	out := slices.Clone(after)
	for i := range out {
		out[i].ObservedGeneration = generation
		out[i].LastTransitionTime = now
		if was := Find(before, out[i].Type); was != nil && was.Status == out[i].Status {
			out[i].LastTransitionTime = was.LastTransitionTime
		}
	}
	return out
}
