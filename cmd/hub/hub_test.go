// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestFederation is the life of a federation of two members, from one apply to
// the last delete.
func TestFederation(t *testing.T) {
	c, inWest, inEast := startHub(t), newClient(t, west), newClient(t, east)
	play(t, inWest, "192.0.2.1")
	play(t, inEast, "192.0.2.2")
	federation := namespace(t, c, "life")
	condition(t, c, federation, v1alpha1.TrustReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
	condition(t, c, federation, v1alpha1.Ready, metav1.ConditionFalse, v1alpha1.ReasonNoMembers)

	w, secret := newMember(federation, "west", limited(t, west, inWest))
	create(t, c, secret, w)
	condition(t, c, w, v1alpha1.TrustReady, metav1.ConditionFalse, v1alpha1.ReasonEnrolling)
	e := enrolment(t, inWest)
	controlPlane(t, inWest)
	condition(t, c, w, v1alpha1.Ready, metav1.ConditionTrue, v1alpha1.ReasonReady)
	condition(t, c, federation, v1alpha1.Ready, metav1.ConditionTrue, v1alpha1.ReasonReady)
	if w.Status.Gateway.Summary != "192.0.2.1:15443" || w.Status.TrustDomain != "west.shop.example" || w.Status.Network != "west" {
		t.Errorf("status %+v", w.Status)
	}

	// The token is spent, and gone from the member.
	_, err := enroll(t, e)
	if err == nil || !strings.Contains(err.Error(), "was used already") {
		t.Errorf("a second use of the token: %v", err)
	}
	told(t, c, w, corev1.EventTypeWarning, v1alpha1.EventEnrolmentRefused)
	eventually(t, func() string {
		var s corev1.Secret
		if err := inWest.Get(t.Context(), client.ObjectKey{Namespace: system, Name: v1alpha1.EnrolmentSecret}, &s); err != nil {
			return err.Error()
		}
		if len(s.Data["token"]) > 0 {
			return "the spent token is still in the member"
		}
		return ""
	})

	// A second member; what it exports, the first imports.
	st, secret := newMember(federation, "east", kubeconfig(t, east, "hub", "system:masters"))
	create(t, c, secret, st)
	controlPlane(t, inEast, &model.Export{Namespace: "shop", Name: "reviews", CreatedUnix: 1, Ports: []model.ExportPort{{Name: "http", Number: 80}}})
	condition(t, c, st, v1alpha1.Ready, metav1.ConditionTrue, v1alpha1.ReasonReady)
	eventually(t, func() string {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(st), st); err != nil {
			return err.Error()
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(w), w); err != nil || w.Status.Sync.ImportedServices != 1 {
			return fmt.Sprintf("west imports %d services (%v), east exports %+v", w.Status.Sync.ImportedServices, err, st.Status.Sync)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(federation), federation); err != nil || federation.Status.ExportedServices != 1 || federation.Status.Members.Summary != "2/2" {
			return fmt.Sprintf("federation status %+v (%v)", federation.Status, err)
		}
		return ""
	})

	// What changes nothing in the cluster writes nothing there.
	items := installedIn(t, inWest)
	before := versions(t, inWest, items)
	patch(t, c, w, func(m *v1alpha1.MeshMember) { m.Spec.Traffic = v1alpha1.TrafficCordoned })
	eventually(t, func() string {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(w), w); err != nil || w.Status.ObservedGeneration != w.Generation {
			return fmt.Sprintf("generation %d is not seen (%v)", w.Generation, err)
		}
		return ""
	})
	if after := versions(t, inWest, items); after != before {
		t.Errorf("objects in a member changed while nothing happened:\n%s\n%s", before, after)
	}

	// What somebody deletes there comes back.
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "istio-eastwestgateway"}}
	if err := inWest.Delete(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	patch(t, c, w, func(m *v1alpha1.MeshMember) { m.Spec.Traffic = v1alpha1.TrafficActive })
	eventually(t, func() string {
		if err := inWest.Get(t.Context(), client.ObjectKeyFromObject(deployment), deployment); err != nil || deployment.Status.AvailableReplicas == 0 {
			return fmt.Sprintf("the gateway isn't back: %v", err)
		}
		return ""
	})
	condition(t, c, w, v1alpha1.Ready, metav1.ConditionTrue, v1alpha1.ReasonReady)

	// East goes: first what it exports, then what is installed, then the object.
	if err := c.Delete(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(w), w); err != nil || w.Status.Sync.ImportedServices != 0 {
			return fmt.Sprintf("west imports %d services (%v)", w.Status.Sync.ImportedServices, err)
		}
		return ""
	})
	gone(t, c, st)
	told(t, c, st, corev1.EventTypeNormal, v1alpha1.EventUninstalled)
	if inventory, err := install.ReadInventory(t.Context(), inEast, system); err != nil || inventory != nil {
		t.Errorf("inventory in east after it left: %v, %v", inventory, err)
	}
	for _, o := range []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "cacerts"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: v1alpha1.EnrolmentSecret}},
	} {
		gone(t, inEast, o)
	}

	// The federation goes, and takes the mesh out of its last member.
	if err := c.Delete(t.Context(), federation); err != nil {
		t.Fatal(err)
	}
	gone(t, c, federation)
	condition(t, c, w, v1alpha1.Ready, metav1.ConditionFalse, v1alpha1.ReasonNoFederation)
	if inventory, err := install.ReadInventory(t.Context(), inWest, system); err != nil || inventory != nil {
		t.Errorf("inventory in west after its federation went: %v, %v", inventory, err)
	}
	if err := c.Delete(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	gone(t, c, w)
}

func installedIn(t *testing.T, c client.Client) []install.Item {
	t.Helper()
	inventory, err := install.ReadInventory(t.Context(), c, system)
	if err != nil || inventory == nil {
		t.Fatalf("inventory: %v, %v", inventory, err)
	}
	return inventory.Items
}

// versions lists the resource versions of objects.
func versions(t *testing.T, c client.Client, items []install.Item) string {
	t.Helper()
	var b strings.Builder
	for _, item := range items {
		o := &metav1.PartialObjectMetadata{}
		o.APIVersion, o.Kind = item.Version, item.Kind
		if item.Group != "" {
			o.APIVersion = item.Group + "/" + item.Version
		}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: item.Namespace, Name: item.Name}, o); err != nil {
			t.Fatalf("%s: %v", item, err)
		}
		fmt.Fprintln(&b, item, o.ResourceVersion)
	}
	return b.String()
}

// TestTokenIsGoodOnce: of many that come with one token at the same time, one is served.
func TestTokenIsGoodOnce(t *testing.T) {
	c, inWest := startHub(t), newClient(t, west)
	play(t, inWest, "192.0.2.1")
	federation := namespace(t, c, "once")
	w, secret := newMember(federation, "west", kubeconfig(t, west, "hub", "system:masters"))
	create(t, c, secret, w)
	e := enrolment(t, inWest)
	var served sync.Map
	var all sync.WaitGroup
	began := time.Now()
	for i := range 8 {
		all.Go(func() {
			_, err := enroll(t, e)
			for ; unreachable(err) && time.Since(began) < 3*time.Minute; _, err = enroll(t, e) {
				<-time.After(50 * time.Millisecond) // the hub serves a new federation in its own time
			}
			if err == nil {
				served.Store(i, true)
			}
		})
	}
	all.Wait()
	n := 0
	served.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d were served, want 1", n)
	}
	if err := c.Delete(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	gone(t, c, w)
	if err := c.Delete(t.Context(), federation); err != nil {
		t.Fatal(err)
	}
	gone(t, c, federation)
}
