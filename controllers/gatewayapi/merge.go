// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

// timed gives conditions their times: that of the condition as it is, where its
// status is the same, else now.
func timed(want, has []metav1.Condition, now metav1.Time) []metav1.Condition {
	out := slices.Clone(want)
	for i := range out {
		out[i].LastTransitionTime = now
		for _, h := range has {
			if h.Type == out[i].Type && h.Status == out[i].Status && !h.LastTransitionTime.IsZero() {
				out[i].LastTransitionTime = h.LastTransitionTime
			}
		}
	}
	return out
}

// mergeGateway is the status to write on top of what is there.
func mergeGateway(want, has gateway.GatewayStatus, now metav1.Time) gateway.GatewayStatus {
	want.Conditions = timed(want.Conditions, has.Conditions, now)
	listeners := slices.Clone(want.Listeners)
	for i, l := range listeners {
		var before []metav1.Condition
		for _, h := range has.Listeners {
			if h.Name == l.Name {
				before = h.Conditions
			}
		}
		listeners[i].Conditions = timed(l.Conditions, before, now)
	}
	want.Listeners = listeners
	return want
}

func mergeListenerSet(want, has gateway.ListenerSetStatus, now metav1.Time) gateway.ListenerSetStatus {
	want.Conditions = timed(want.Conditions, has.Conditions, now)
	listeners := slices.Clone(want.Listeners)
	for i, l := range listeners {
		var before []metav1.Condition
		for _, h := range has.Listeners {
			if h.Name == l.Name {
				before = h.Conditions
			}
		}
		listeners[i].Conditions = timed(l.Conditions, before, now)
	}
	want.Listeners = listeners
	return want
}

// mostParents of a route, as the API has it.
const mostParents = 32

// mergeParents replaces what this controller says, and leaves what others do.
func mergeParents(want, has []gateway.RouteParentStatus, now metav1.Time) []gateway.RouteParentStatus {
	out := []gateway.RouteParentStatus{}
	var ours []gateway.RouteParentStatus
	for _, h := range has {
		if h.ControllerName == gatewayapi.ControllerName {
			ours = append(ours, h)
		} else {
			out = append(out, h)
		}
	}
	for _, w := range want {
		var before []metav1.Condition
		for _, h := range ours {
			if equality.Semantic.DeepEqual(h.ParentRef, w.ParentRef) {
				before = h.Conditions
			}
		}
		w.Conditions = timed(w.Conditions, before, now)
		out = append(out, w)
	}
	return out[:min(len(out), mostParents)]
}

// mostAncestors of a policy, as the API has it.
const mostAncestors = 16

func mergeAncestors(want, has []gateway.PolicyAncestorStatus, now metav1.Time) []gateway.PolicyAncestorStatus {
	out := []gateway.PolicyAncestorStatus{}
	var ours []gateway.PolicyAncestorStatus
	for _, h := range has {
		if h.ControllerName == gatewayapi.ControllerName {
			ours = append(ours, h)
		} else {
			out = append(out, h)
		}
	}
	for _, w := range want {
		var before []metav1.Condition
		for _, h := range ours {
			if equality.Semantic.DeepEqual(h.AncestorRef, w.AncestorRef) {
				before = h.Conditions
			}
		}
		w.Conditions = timed(w.Conditions, before, now)
		out = append(out, w)
	}
	return out[:min(len(out), mostAncestors)]
}
