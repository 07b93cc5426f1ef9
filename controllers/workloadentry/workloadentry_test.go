// SPDX-License-Identifier: Apache-2.0

package workloadentry_test

import (
	"slices"
	"testing"
	"time"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controllers/workloadentry"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// TestMachines on a real API server, with the rights that the chart gives: what
// becomes of entries when machines, replicas and people come and go.
func TestMachines(t *testing.T) {
	w := newTown(t)
	w.rights()
	a, crash := w.replica("a", "1")
	b, _ := w.replica("b", "1")
	w.leader()
	health := &model.MachineHealth{Healthy: true, At: time.Now()}
	w.machine(a, "10.0.0.1", health) // stays with a replica that stays
	w.machine(b, "10.0.0.2", nil)
	w.machine(a, "10.0.0.3", nil) // goes with the replica that ends
	w.machine(a, "10.0.0.4", nil) // comes to another one
	leaves := w.machine(b, "10.0.0.5", nil)
	first := map[string]*networking.WorkloadEntry{}
	for address, r := range map[string]*workloadentry.Registrar{"10.0.0.1": a, "10.0.0.2": b, "10.0.0.3": a, "10.0.0.4": a, "10.0.0.5": b} {
		first[address] = w.connected(address, r)
	}
	// Two that aren't ours: of an istiod of Istio's beside this, and of a person.
	ours := first["10.0.0.1"].DeepCopy()
	istios := &networking.WorkloadEntry{
		ObjectMeta: metav1.ObjectMeta{Name: "vms-10.0.0.6", Labels: ours.Labels, Annotations: ours.Annotations, OwnerReferences: ours.OwnerReferences},
		Spec:       *ours.Spec.DeepCopy(),
	}
	istios.Annotations[registration.ControllerAnnotation] = "istiod-5d8f"
	byHand := &networking.WorkloadEntry{
		ObjectMeta: metav1.ObjectMeta{Name: "vms-10.0.0.7", Annotations: map[string]string{
			registration.GroupAnnotation: "vms", registration.ControllerAnnotation: a.Replica, registration.DisconnectedAnnotation: "2020-01-01T00:00:00Z",
		}},
		Spec: networkingapi.WorkloadEntry{Address: "10.0.0.7"},
	}
	for _, e := range []*networking.WorkloadEntry{istios, byHand} {
		if _, err := w.admin.WorkloadEntries("shop").Create(t.Context(), e, metav1.CreateOptions{FieldManager: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	// One that somebody removes comes again, and its health with it.
	if err := w.admin.WorkloadEntries("shop").Delete(t.Context(), "vms-10.0.0.1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() string {
		if e := w.entry("10.0.0.1"); e == nil || e.UID == first["10.0.0.1"].UID || !healthy(e) {
			return "the entry that was removed isn't there again, or not healthy"
		}
		return ""
	})

	b.Says(leaves, nil)
	crash()
	w.machine(b, "10.0.0.1", health)
	w.machine(b, "10.0.0.4", nil)
	// Its pod starts again, which is another run of it.
	again, _ := w.replica("a", "2")
	w.machine(again, "10.0.0.8", nil)
	w.eventually(func() string {
		for _, gone := range []string{"10.0.0.3", "10.0.0.5"} {
			if w.entry(gone) != nil {
				return "the entry of " + gone + " doesn't go"
			}
		}
		return ""
	})
	for address, r := range map[string]*workloadentry.Registrar{"10.0.0.1": b, "10.0.0.2": b, "10.0.0.4": b, "10.0.0.8": again} {
		e := w.connected(address, r)
		if was := first[address]; was != nil && address != "10.0.0.1" && e.UID != was.UID {
			t.Errorf("%s has another entry than before", address)
		}
	}
	for _, address := range []string{"10.0.0.6", "10.0.0.7"} {
		e := w.entry(address)
		if e == nil {
			t.Errorf("%s is nobody's to remove", address)
			continue
		}
		for _, f := range e.ManagedFields {
			if f.Manager != "test" {
				t.Errorf("%s is nobody's to write to: %s did", address, f.Manager)
			}
		}
	}
}

func healthy(e *networking.WorkloadEntry) bool {
	for _, c := range e.Status.GetConditions() {
		if c.GetType() == registration.Healthy {
			return c.GetStatus() == "True"
		}
	}
	return false
}

// rights on entries that the chart gives: what is needed, and no more.
func (w *town) rights() {
	w.t.Helper()
	role, err := w.kube.RbacV1().ClusterRoles().Get(w.t.Context(), "istiod-clusterrole-istio-system", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for resource, want := range map[string][]string{
		"workloadentries":        {"create", "delete", "get", "list", "patch", "watch"},
		"workloadentries/status": {"patch"},
		"workloadgroups":         {"get", "list", "watch"},
	} {
		var has []string
		for _, rule := range role.Rules {
			if slices.Contains(rule.APIGroups, "networking.istio.io") && slices.Contains(rule.Resources, resource) {
				has = append(has, rule.Verbs...)
			}
		}
		slices.Sort(has)
		if !slices.Equal(has, want) {
			w.t.Errorf("the chart lets the control plane %v %s, want %v", has, resource, want)
		}
	}
}
