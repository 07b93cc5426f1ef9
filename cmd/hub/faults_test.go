// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

// TestFaults: members that can't be joined tell why and how to mend it, and a
// good one beside them doesn't suffer.
func TestFaults(t *testing.T) {
	c, inWest := startHub(t), newClient(t, west)
	play(t, inWest, "192.0.2.1")
	federation := namespace(t, c, "faults")
	good, secret := newMember(federation, "good", kubeconfig(t, west, "hub", "system:masters"))
	create(t, c, secret, good)
	controlPlane(t, inWest)
	condition(t, c, good, v1alpha1.Ready, metav1.ConditionTrue, v1alpha1.ReasonReady)

	admin := kubeconfig(t, east, "hub", "system:masters")
	tests := map[string]struct {
		kubeconfig []byte
		reason     string
		messages   []string
		stalled    bool
	}{
		"missing":   {nil, v1alpha1.ReasonKubeconfigSecretNotFound, []string{`Secret "missing-kubeconfig"`, "kubectl create secret generic missing-kubeconfig -n faults --from-file=kubeconfig="}, true},
		"malformed": {[]byte("{"), v1alpha1.ReasonKubeconfigInvalid, []string{`key "kubeconfig" is not a kubeconfig`}, true},
		"dead":      {apiserver.PointedAt(t, admin, "https://127.0.0.1:1"), v1alpha1.ReasonAPIServerUnreachable, []string{"https://127.0.0.1:1", "connection refused", "check that the address is right"}, false},
		"norights":  {kubeconfig(t, east, "norights"), v1alpha1.ReasonForbidden, []string{"may not get,create,patch,delete namespaces;", "13 more in the cluster", "config/rbac/member.yaml"}, true},
		"twin":      {kubeconfig(t, west, "hub", "system:masters"), v1alpha1.ReasonClusterAlreadyMember, []string{`MeshMember "good" already`, "delete one of the two"}, true},
	}
	for name, test := range tests {
		m, secret := newMember(federation, name, test.kubeconfig)
		if test.kubeconfig != nil {
			create(t, c, secret)
		}
		create(t, c, m)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := &v1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{Namespace: "faults", Name: name}}
			got := condition(t, c, m, v1alpha1.Ready, metav1.ConditionFalse, test.reason)
			for _, want := range test.messages {
				if !strings.Contains(got.Message, want) {
					t.Errorf("message %q lacks %q", got.Message, want)
				}
			}
			kind := v1alpha1.Reconciling
			if test.stalled {
				kind = v1alpha1.Stalled
			}
			condition(t, c, m, kind, metav1.ConditionTrue, test.reason)
			told(t, c, m, corev1.EventTypeWarning, test.reason)
		})
	}
	condition(t, c, federation, v1alpha1.MembersReady, metav1.ConditionFalse, v1alpha1.ReasonMembersNotReady)

	// The mend mends: at once, and without touching the object.
	_, secret = newMember(federation, "missing", kubeconfig(t, east, "norights"))
	create(t, c, secret)
	missing := &v1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{Namespace: "faults", Name: "missing"}}
	condition(t, c, missing, v1alpha1.Ready, metav1.ConditionFalse, v1alpha1.ReasonForbidden)

	// A value of a wrong type is told, and what runs goes on.
	items := installedIn(t, inWest)
	before := versions(t, inWest, items)
	patch(t, c, federation, func(f *v1alpha1.MeshFederation) {
		f.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: []byte(`{"replicaCount":"two"}`)}
	})
	got := condition(t, c, good, v1alpha1.Ready, metav1.ConditionFalse, v1alpha1.ReasonValuesInvalid)
	if want := `spec.controlPlane.values of MeshFederation "shop": chart istiod refuses the values: "replicaCount" is wrong: got string, want integer`; got.Message != want {
		t.Errorf("got  %s\nwant %s", got.Message, want)
	}
	if after := versions(t, inWest, items); after != before {
		t.Errorf("values that are refused changed what is installed:\n%s\n%s", before, after)
	}
	patch(t, c, federation, func(f *v1alpha1.MeshFederation) {
		f.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: []byte(`{"replicaCount":2}`)}
	})
	condition(t, c, good, v1alpha1.Ready, metav1.ConditionTrue, v1alpha1.ReasonReady)

	// Two federations that select one member.
	bank := &v1alpha1.MeshFederation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "faults", Name: "bank"},
		Spec:       v1alpha1.MeshFederationSpec{Trust: v1alpha1.Trust{Domain: "bank.example"}},
	}
	create(t, c, bank)
	// A member that the hub sees before it sees both federations is in the one, and stays there.
	condition(t, c, bank, v1alpha1.TrustReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	wanted, secret := newMember(federation, "wanted", nil)
	create(t, c, secret, wanted)
	got = condition(t, c, wanted, v1alpha1.Ready, metav1.ConditionFalse, v1alpha1.ReasonFederationConflict)
	if want := "MeshFederations bank, shop all select the member"; !strings.Contains(got.Message, want) {
		t.Errorf("got %q, want %q in it", got.Message, want)
	}
	condition(t, c, good, v1alpha1.Ready, metav1.ConditionTrue, v1alpha1.ReasonReady)

	removeAll(t, c, "faults")
}

func patch[T client.Object](t *testing.T, c client.Client, o T, change func(T)) {
	t.Helper()
	eventually(t, func() string {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err.Error()
		}
		change(o)
		if err := c.Update(t.Context(), o); err != nil {
			return err.Error()
		}
		return ""
	})
}

// removeAll deletes the members and federations of a namespace, and waits.
func removeAll(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	for _, o := range []client.Object{&v1alpha1.MeshMember{}, &v1alpha1.MeshFederation{}} {
		if err := c.DeleteAllOf(t.Context(), o, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() string {
		var members v1alpha1.MeshMemberList
		var federations v1alpha1.MeshFederationList
		if err := c.List(t.Context(), &members, client.InNamespace(namespace)); err != nil {
			return err.Error()
		}
		if err := c.List(t.Context(), &federations, client.InNamespace(namespace)); err != nil {
			return err.Error()
		}
		if n := len(members.Items) + len(federations.Items); n > 0 {
			return fmt.Sprintf("%d objects are still there: %+v", n, members.Items)
		}
		return ""
	})
}

// TestDeletionIsBounded: a member whose cluster is gone goes too, when its time
// is over, and an event says what is left. One that never came to anything goes at once.
func TestDeletionIsBounded(t *testing.T) {
	c, inWest := startHub(t), newClient(t, west)
	play(t, inWest, "192.0.2.1")
	federation := namespace(t, c, "bounded")
	good := kubeconfig(t, west, "hub", "system:masters")
	w, secret := newMember(federation, "west", good)
	const patience = 10 * time.Second // time to see that it is blocked
	w.Spec.UnreachableTimeout = &metav1.Duration{Duration: patience}
	never, neverSecret := newMember(federation, "never", apiserver.PointedAt(t, good, "https://127.0.0.1:1"))
	create(t, c, secret, w, neverSecret, never)
	condition(t, c, w, v1alpha1.ControlPlaneReady, metav1.ConditionTrue, v1alpha1.ReasonAvailable)
	condition(t, c, never, v1alpha1.Reachable, metav1.ConditionFalse, v1alpha1.ReasonAPIServerUnreachable)

	patch(t, c, secret, func(s *corev1.Secret) { s.Data["kubeconfig"] = apiserver.PointedAt(t, good, "https://127.0.0.1:1") })
	condition(t, c, w, v1alpha1.Reachable, metav1.ConditionFalse, v1alpha1.ReasonAPIServerUnreachable)
	if w.Status.ClusterUID == "" || len(w.Status.Gateway.Addresses) == 0 {
		t.Errorf("the status forgot a cluster that can't be reached: %+v", w.Status)
	}
	began := time.Now()
	for _, m := range []*v1alpha1.MeshMember{w, never} {
		if err := c.Delete(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	condition(t, c, w, v1alpha1.Ready, metav1.ConditionFalse, v1alpha1.ReasonDeletionBlocked)
	gone(t, c, never)
	gone(t, c, w)
	// The time of a deletion is kept in whole seconds, so it may seem up to one older.
	// Where the spec says nothing it would take two minutes.
	if took := time.Since(began); took < patience-time.Second || took > 90*time.Second {
		t.Errorf("took %s", took)
	}
	note := told(t, c, w, corev1.EventTypeWarning, v1alpha1.EventLeftBehind)
	for _, want := range []string{"namespace istio-system", "connection refused", "isthmesh uninstall"} {
		if !strings.Contains(note, want) {
			t.Errorf("note %q lacks %q", note, want)
		}
	}

	// The cluster is found again by a new member of this name, which goes on with what is there.
	again, secret := newMember(federation, "west", good)
	secret.Name = "west-again"
	again.Spec.KubeconfigSecretRef.Name = secret.Name
	create(t, c, secret, again)
	condition(t, c, again, v1alpha1.ControlPlaneReady, metav1.ConditionTrue, v1alpha1.ReasonAvailable)
	removeAll(t, c, "bounded")
}

// TestRetain: with deletionPolicy Retain the object goes, and what is installed stays.
func TestRetain(t *testing.T) {
	c, inWest := startHub(t), newClient(t, west)
	play(t, inWest, "192.0.2.1")
	federation := namespace(t, c, "retain")
	w, secret := newMember(federation, "west", kubeconfig(t, west, "hub", "system:masters"))
	w.Spec.DeletionPolicy = v1alpha1.DeletionPolicyRetain
	create(t, c, secret, w)
	condition(t, c, w, v1alpha1.ControlPlaneReady, metav1.ConditionTrue, v1alpha1.ReasonAvailable)
	if err := c.Delete(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	gone(t, c, w)
	told(t, c, w, corev1.EventTypeNormal, v1alpha1.EventRetained)
	if items := installedIn(t, inWest); len(items) < 20 {
		t.Errorf("only %d objects are left", len(items))
	}
	// Back again, with the default, it cleans up.
	w, _ = newMember(federation, "west", nil)
	create(t, c, w)
	condition(t, c, w, v1alpha1.ControlPlaneReady, metav1.ConditionTrue, v1alpha1.ReasonAvailable)
	removeAll(t, c, "retain")
}
