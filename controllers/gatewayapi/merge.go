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

// timedEach does so for the conditions of each entry of a list. The entry as it
// is has the same key.
func timedEach[T any](want, has []T, same func(a, b *T) bool, conditions func(*T) *[]metav1.Condition, now metav1.Time) []T {
	out := slices.Clone(want)
	for i := range out {
		var before []metav1.Condition
		for j := range has {
			if same(&out[i], &has[j]) {
				before = *conditions(&has[j])
			}
		}
		*conditions(&out[i]) = timed(*conditions(&out[i]), before, now)
	}
	return out
}

// mergeGateway is the status to write on top of what is there.
func mergeGateway(want, has gateway.GatewayStatus, now metav1.Time) gateway.GatewayStatus {
	want.Conditions = timed(want.Conditions, has.Conditions, now)
	want.Listeners = timedEach(want.Listeners, has.Listeners,
		func(a, b *gateway.ListenerStatus) bool { return a.Name == b.Name },
		func(l *gateway.ListenerStatus) *[]metav1.Condition { return &l.Conditions }, now)
	return want
}

func mergeListenerSet(want, has gateway.ListenerSetStatus, now metav1.Time) gateway.ListenerSetStatus {
	want.Conditions = timed(want.Conditions, has.Conditions, now)
	want.Listeners = timedEach(want.Listeners, has.Listeners,
		func(a, b *gateway.ListenerEntryStatus) bool { return a.Name == b.Name },
		func(l *gateway.ListenerEntryStatus) *[]metav1.Condition { return &l.Conditions }, now)
	return want
}

// Most entries that the API allows in a route's and in a policy's status.
const (
	mostParents   = 32
	mostAncestors = 16
)

// mergeParents replaces what this controller says, and leaves what others do.
func mergeParents(want, has []gateway.RouteParentStatus, now metav1.Time) []gateway.RouteParentStatus {
	return beside(want, has, func(p *gateway.RouteParentStatus) said { return said{p.ControllerName, p.ParentRef, &p.Conditions} }, mostParents, now)
}

// mergeAncestors does so for the status of a policy.
func mergeAncestors(want, has []gateway.PolicyAncestorStatus, now metav1.Time) []gateway.PolicyAncestorStatus {
	return beside(want, has, func(a *gateway.PolicyAncestorStatus) said {
		return said{a.ControllerName, a.AncestorRef, &a.Conditions}
	}, mostAncestors, now)
}

// said is an entry of a status that several controllers write: who says what of which parent.
type said struct {
	by         gateway.GatewayController
	of         gateway.ParentReference
	conditions *[]metav1.Condition
}

func beside[T any](want, has []T, read func(*T) said, most int, now metav1.Time) []T {
	all := []T{}
	for i := range has {
		if read(&has[i]).by != gatewayapi.ControllerName {
			all = append(all, has[i])
		}
	}
	same := func(a, b *T) bool {
		x, y := read(a), read(b)
		return x.by == y.by && equality.Semantic.DeepEqual(x.of, y.of)
	}
	all = append(all, timedEach(want, has, same, func(e *T) *[]metav1.Condition { return read(e).conditions }, now)...)
	return all[:min(len(all), most)]
}
