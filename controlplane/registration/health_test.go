// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	metaapi "istio.io/api/meta/v1alpha1"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// healthOf conditions, as "Status Reason: message"; "" for none.
func healthOf(conditions []*metaapi.IstioCondition) string {
	for _, c := range conditions {
		if c.GetType() == registration.Healthy {
			return c.GetStatus() + " " + c.GetReason() + ": " + c.GetMessage()
		}
	}
	return ""
}

// TestReports come one after the other: the newest counts, the time of transition
// is that of the first that said so, and conditions of others stay.
func TestReports(t *testing.T) {
	m := aMachine(func(m *model.Machine) { m.Probed = true })
	e := registration.Entry(m, aGroup(), "a", epoch)
	e.Status.Conditions = []*metaapi.IstioCondition{{Type: "Reconciled", Status: "True"}}
	for _, step := range []struct {
		second        int
		healthy       bool
		message, want string
		since         int
	}{
		{1, true, "", "True Probed: ", 1},
		{2, true, "", "True Probed: ", 1},
		{3, false, "refused", "False ProbeFailed: refused", 3},
		{2, true, "", "False ProbeFailed: refused", 3}, // it took longer to come
		{3, true, "", "False ProbeFailed: refused", 3},
		{4, false, strings.Repeat("é", 2000), "False ProbeFailed: " + strings.Repeat("é", 512) + "…", 3},
		{5, true, "", "True Probed: ", 5},
	} {
		at := epoch.Add(time.Duration(step.second) * time.Second)
		c := registration.Next(e, aGroup(), registration.Here{
			Replica: "a", Machine: m, Since: epoch, Health: &model.MachineHealth{Healthy: step.healthy, Message: step.message, At: at}, Now: at,
		})
		if c.Conditions != nil {
			e = e.DeepCopy()
			e.Status.Conditions = c.Conditions
		}
		if got := healthOf(e.Status.GetConditions()); got != step.want {
			t.Errorf("second %d: got %q, want %q", step.second, got, step.want)
		}
		if got := transition(e); got != epoch.Add(time.Duration(step.since)*time.Second) {
			t.Errorf("second %d: it is so since %v", step.second, got)
		}
	}
	if e.Status.GetConditions()[0].GetType() != "Reconciled" || len(e.Status.GetConditions()) != 2 {
		t.Errorf("got %v", e.Status.GetConditions())
	}
}

func transition(e *networking.WorkloadEntry) time.Time {
	i := slices.IndexFunc(e.Status.GetConditions(), func(c *metaapi.IstioCondition) bool { return c.GetType() == registration.Healthy })
	return e.Status.GetConditions()[i].GetLastTransitionTime().AsTime()
}
