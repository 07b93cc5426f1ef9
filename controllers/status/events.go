// SPDX-License-Identifier: Apache-2.0

package status

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// Event tells what changed, for `kubectl describe` and `kubectl events`.
type Event struct {
	// Type is Normal or Warning.
	Type string
	// Reason is one CamelCase word.
	Reason string
	// Action is what the hub did or tried, one CamelCase word.
	Action string
	// Note is a sentence.
	Note string
}

// Recorder is the part of the events API that reconcilers use.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// Record sends events about an object.
func Record(r Recorder, about runtime.Object, events []Event) {
	for _, e := range events {
		r.Eventf(about, nil, e.Type, e.Reason, e.Action, "%s", e.Note)
	}
}

// Transitions tells which conditions changed their status or their reason, in
// the order of the conditions. What merely follows from others, and what waits
// for others, is left out.
func Transitions(before, after []metav1.Condition) []Event {
	var out []Event
	for _, c := range after {
		if slices.Contains([]string{v1alpha1.Reconciling, v1alpha1.Stalled}, c.Type) || c.Reason == v1alpha1.ReasonNotTried {
			continue
		}
		was := Find(before, c.Type)
		if was != nil && was.Status == c.Status && was.Reason == c.Reason {
			continue
		}
		if c.Type == v1alpha1.Ready && c.Status != metav1.ConditionTrue && causes(after, c) {
			continue // its cause tells
		}
		out = append(out, event(c))
	}
	return out
}

// causes tells whether another condition has the reason of Ready.
func causes(conditions []metav1.Condition, ready metav1.Condition) bool {
	return slices.ContainsFunc(conditions, func(c metav1.Condition) bool {
		return c.Reason == ready.Reason && !slices.Contains([]string{v1alpha1.Ready, v1alpha1.Reconciling, v1alpha1.Stalled}, c.Type)
	})
}

func event(c metav1.Condition) Event {
	e := Event{Type: corev1.EventTypeNormal, Reason: c.Reason, Action: c.Type, Note: c.Message}
	if c.Status == metav1.ConditionFalse && !under(c.Reason) {
		e.Type = corev1.EventTypeWarning
	}
	if e.Note == "" {
		e.Note = c.Type + " is " + string(c.Status)
	}
	const most = 1000 // bytes, of the 1024 that the API takes
	if len(e.Note) > most {
		e.Note = strings.ToValidUTF8(e.Note[:most], "") + "…"
	}
	return e
}

// under tells whether a reason is one of a thing that is merely under way.
func under(reason string) bool {
	return slices.Contains([]string{
		v1alpha1.ReasonProgressing, v1alpha1.ReasonRollingOut, v1alpha1.ReasonEnrolling, v1alpha1.ReasonSyncing,
		v1alpha1.ReasonDeleting, v1alpha1.ReasonGatewayAddressPending, v1alpha1.ReasonHubAddressPending,
		v1alpha1.ReasonRootNotReady, v1alpha1.ReasonMembersNotReady, v1alpha1.ReasonNoMembers,
	}, reason)
}
