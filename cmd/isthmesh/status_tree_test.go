// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/test/golden"
)

func TestWriteTree(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	cases := map[string][]federationState{
		"Nothing": nil,
		"AllReady": {{
			federation: federation(ready(metav1.ConditionTrue, "AllMembersReady", "")),
			members:    []v1alpha1.MeshMember{member("east", ready(metav1.ConditionTrue, "Joined", "")), member("west", ready(metav1.ConditionTrue, "Joined", ""))},
		}},
		"OneUnreachable": {{
			federation: federation(ready(metav1.ConditionFalse, "MembersNotReady", "1 of 2 members is not ready: west")),
			members: []v1alpha1.MeshMember{
				member("east", ready(metav1.ConditionTrue, "Joined", "")),
				member("west",
					ready(metav1.ConditionFalse, "LoopbackAPIServer", "see Reachable"),
					metav1.Condition{Type: v1alpha1.Reachable, Status: metav1.ConditionFalse, Reason: "LoopbackAPIServer", Message: "The kubeconfig points at 127.0.0.1:6443."},
				),
			},
		}},
		"NotSeenYet": {{federation: v1alpha1.MeshFederation{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop", Generation: 1}}}},
	}
	for name, state := range cases {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := writeTree(&got, state); err != nil {
				t.Fatal(err)
			}
			golden.File(t, filepath.Join("testdata", "status-"+name+".txt"), got.String())
		})
	}
}

func TestWaitingFor(t *testing.T) {
	cases := map[string]struct {
		state []federationState
		want  string
	}{
		"NoFederation": {nil, "a MeshFederation"},
		"Ready":        {[]federationState{{federation: federation(ready(metav1.ConditionTrue, "AllMembersReady", ""))}}, ""},
		"OldGeneration": {[]federationState{{federation: func() v1alpha1.MeshFederation {
			f := federation(ready(metav1.ConditionTrue, "AllMembersReady", ""))
			f.Generation = 2
			return f
		}()}}, "meshfederation/shop (AllMembersReady)"},
		"OneMember": {[]federationState{{
			federation: federation(ready(metav1.ConditionFalse, "MembersNotReady", "")),
			members:    []v1alpha1.MeshMember{member("east", ready(metav1.ConditionTrue, "Joined", "")), member("west", ready(metav1.ConditionFalse, "GatewayAddressPending", ""))},
		}}, "meshmember/west (GatewayAddressPending)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := waitingFor(c.state); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func federation(conditions ...metav1.Condition) v1alpha1.MeshFederation {
	return v1alpha1.MeshFederation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop", Generation: 1},
		Status:     v1alpha1.MeshFederationStatus{ObservedGeneration: 1, ExportedServices: 3, Conditions: conditions},
	}
}

func member(name string, conditions ...metav1.Condition) v1alpha1.MeshMember {
	return v1alpha1.MeshMember{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Generation: 1},
		Status: v1alpha1.MeshMemberStatus{
			ObservedGeneration: 1, Network: name, Conditions: conditions,
			Gateway: v1alpha1.GatewayStatus{Summary: "192.0.2.7:15443"},
			Sync:    v1alpha1.SyncStatus{ExportedServices: 2, ImportedServices: 1},
		},
	}
}

func ready(status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.Ready, Status: status, Reason: reason, Message: message}
}
