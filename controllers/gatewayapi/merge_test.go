// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

// What others say stays, also of the same parent; what this controller said of
// parents that are gone goes; and the time of a condition is when it began.
func TestMerge(t *testing.T) {
	before, now := metav1.NewTime(time.Unix(100, 0)), metav1.NewTime(time.Unix(200, 0))
	accepted := func(status metav1.ConditionStatus, at metav1.Time) []metav1.Condition {
		return []metav1.Condition{{Type: "Accepted", Status: status, LastTransitionTime: at}}
	}
	parent := func(by gateway.GatewayController, name string, conditions []metav1.Condition) gateway.RouteParentStatus {
		return gateway.RouteParentStatus{ControllerName: by, ParentRef: gateway.ParentReference{Name: gateway.ObjectName(name)}, Conditions: conditions}
	}
	const ours, theirs = gatewayapi.ControllerName, "example.com/other"
	var crowd []gateway.RouteParentStatus
	for i := range mostParents {
		crowd = append(crowd, parent(theirs, fmt.Sprint(i), nil))
	}
	never := metav1.Time{}
	for name, test := range map[string]struct{ want, has, merged []gateway.RouteParentStatus }{
		"New": {
			want:   []gateway.RouteParentStatus{parent(ours, "a", accepted("True", never))},
			merged: []gateway.RouteParentStatus{parent(ours, "a", accepted("True", now))},
		},
		"Same": {
			want:   []gateway.RouteParentStatus{parent(ours, "a", accepted("True", never))},
			has:    []gateway.RouteParentStatus{parent(ours, "a", accepted("True", before))},
			merged: []gateway.RouteParentStatus{parent(ours, "a", accepted("True", before))},
		},
		"Changed": {
			want:   []gateway.RouteParentStatus{parent(ours, "a", accepted("False", never))},
			has:    []gateway.RouteParentStatus{parent(ours, "a", accepted("True", before))},
			merged: []gateway.RouteParentStatus{parent(ours, "a", accepted("False", now))},
		},
		"OtherController": {
			want:   []gateway.RouteParentStatus{parent(ours, "a", accepted("True", never))},
			has:    []gateway.RouteParentStatus{parent(theirs, "a", accepted("True", before))},
			merged: []gateway.RouteParentStatus{parent(theirs, "a", accepted("True", before)), parent(ours, "a", accepted("True", now))},
		},
		"OtherParent": {
			want:   []gateway.RouteParentStatus{parent(ours, "b", accepted("True", never))},
			has:    []gateway.RouteParentStatus{parent(ours, "a", accepted("True", before))},
			merged: []gateway.RouteParentStatus{parent(ours, "b", accepted("True", now))},
		},
		"Gone":    {has: []gateway.RouteParentStatus{parent(ours, "a", accepted("True", before))}, merged: []gateway.RouteParentStatus{}},
		"TooMany": {want: []gateway.RouteParentStatus{parent(ours, "a", nil)}, has: crowd, merged: crowd},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.merged, mergeParents(test.want, test.has, now)); diff != "" {
				t.Errorf("parents (-want +got):\n%s", diff)
			}
			if len(test.has) > mostAncestors {
				return
			}
			if diff := cmp.Diff(ancestors(test.merged), mergeAncestors(ancestors(test.want), ancestors(test.has), now)); diff != "" {
				t.Errorf("ancestors (-want +got):\n%s", diff)
			}
		})
	}
}

// ancestors that say what parents do.
func ancestors(parents []gateway.RouteParentStatus) []gateway.PolicyAncestorStatus {
	out := []gateway.PolicyAncestorStatus{}
	for _, p := range parents {
		out = append(out, gateway.PolicyAncestorStatus{ControllerName: p.ControllerName, AncestorRef: p.ParentRef, Conditions: p.Conditions})
	}
	return out
}
