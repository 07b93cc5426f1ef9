// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// stamped is a time as annotations have it.
func stamped(t time.Time) string { return t.Format(time.RFC3339Nano) }

// TestNext: what replica "a" writes.
func TestNext(t *testing.T) {
	probed := aGroup(func(g *networking.WorkloadGroup) { g.Spec.Metadata.Annotations = nil })
	// A machine that a replica has had since epoch.
	had := func(replica string, annotations map[string]string) *networking.WorkloadEntry {
		e := registration.Entry(aMachine(func(m *model.Machine) { m.Probed = true }), probed, replica, epoch)
		for name, value := range annotations {
			if value == "" {
				delete(e.Annotations, name)
			} else {
				e.Annotations[name] = value
			}
		}
		return e
	}
	at := func(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }
	here := func(seconds int, health *model.MachineHealth) registration.Here {
		return registration.Here{Replica: "a", Machine: aMachine(), Since: at(seconds), Health: health, Now: at(100)}
	}
	nowhere := registration.Here{Replica: "a", Now: at(100)}
	onlyHealth := registration.Here{Replica: "a", Machine: aMachine(), Health: &model.MachineHealth{Healthy: true, At: at(7)}, Now: at(100)}
	left := map[string]string{registration.ConnectedAnnotation: "", registration.DisconnectedAnnotation: stamped(at(5))}
	taken := func(seconds int) map[string]string {
		return map[string]string{registration.ControllerAnnotation: "a", registration.ConnectedAnnotation: stamped(at(seconds)), registration.DisconnectedAnnotation: ""}
	}
	for name, c := range map[string]struct {
		entry *networking.WorkloadEntry
		group *networking.WorkloadGroup
		here  registration.Here
		// what is written: made, deleted, annotations, and what the health becomes.
		made        bool
		annotations map[string]string
		health      string
	}{
		"Registers":               {group: probed, here: here(0, nil), made: true},
		"NoGroupNoEntry":          {here: here(0, nil)},
		"OthersAccountNoEntry":    {group: aGroup(func(g *networking.WorkloadGroup) { g.Spec.Template.ServiceAccount = "web" }), here: here(0, nil)},
		"OnlyHealthRegistersNone": {group: probed, here: onlyHealth},
		"NobodyNothing":           {group: probed, here: nowhere},
		"IsRegistered":            {entry: had("a", nil), group: probed, here: here(0, nil)},
		"Leaves": {entry: had("a", nil), group: probed, here: nowhere, annotations: map[string]string{
			registration.ConnectedAnnotation: "", registration.DisconnectedAnnotation: stamped(at(100)),
		}},
		"HasLeft":             {entry: had("a", left), group: probed, here: nowhere},
		"OthersLeaveByThem":   {entry: had("b", nil), group: probed, here: nowhere},
		"ComesBack":           {entry: had("a", left), group: probed, here: here(6, nil), annotations: taken(6)},
		"ComesBackAtOnce":     {entry: had("a", nil), group: probed, here: here(6, nil), annotations: taken(6)},
		"ComesFromAnother":    {entry: had("b", nil), group: probed, here: here(6, nil), annotations: taken(6)},
		"ComesFromAnotherOut": {entry: had("b", left), group: probed, here: here(6, nil), annotations: taken(6)},
		"WentToAnother":       {entry: had("b", nil), group: probed, here: here(-6, nil)},
		// The clock of the other is ahead, or a stream here outlived its last one there.
		"LeftAnotherStillHere":   {entry: had("b", left), group: probed, here: here(-6, nil), annotations: taken(-6)},
		"TakenForGoneStillHere":  {entry: had("a", left), group: probed, here: here(0, nil), annotations: taken(0)},
		"BothTimes":              {entry: had("a", map[string]string{registration.DisconnectedAnnotation: stamped(at(5))}), group: probed, here: here(0, nil), annotations: taken(0)},
		"SpoiltByHand":           {entry: had("a", map[string]string{registration.ConnectedAnnotation: "yesterday"}), group: probed, here: here(0, nil), annotations: taken(0)},
		"ByHandNeverTouched":     {entry: byHand(), group: probed, here: here(0, &model.MachineHealth{At: at(1)})},
		"ByHandMarkedNeverEven":  {entry: marked(byHand()), group: probed, here: here(0, &model.MachineHealth{At: at(1)})},
		"BeingDeleted":           {entry: deleted(had("a", nil)), group: probed, here: here(6, nil)},
		"OthersAccountUntouched": {entry: had("b", nil), group: aGroup(func(g *networking.WorkloadGroup) { g.Spec.Template.ServiceAccount = "web" }), here: here(6, nil)},
		"Healthy":                {entry: had("a", nil), group: probed, here: here(0, &model.MachineHealth{Healthy: true, At: at(1)}), health: "True Probed: "},
		"Unhealthy":              {entry: had("a", nil), group: probed, here: here(0, &model.MachineHealth{Message: "no \xffanswer", At: at(1)}), health: "False ProbeFailed: no answer"},
		"HealthByAnother":        {entry: had("b", nil), group: probed, here: onlyHealth, health: "True Probed: "},
		"HealthNobodyAskedFor":   {entry: had("a", map[string]string{registration.HealthAnnotation: ""}), group: probed, here: here(0, &model.MachineHealth{At: at(1)})},
	} {
		t.Run(name, func(t *testing.T) {
			got := registration.Next(c.entry, c.group, c.here)
			if (got.Create != nil) != c.made || got.Delete {
				t.Errorf("got %+v", got)
			}
			if diff := cmp.Diff(c.annotations, got.Annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.health, healthOf(got.Conditions)); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
		})
	}
}

func marked(e *networking.WorkloadEntry) *networking.WorkloadEntry {
	e.Annotations = map[string]string{registration.GroupAnnotation: "vms", registration.ControllerAnnotation: "a", registration.HealthAnnotation: "true"}
	return e
}

func deleted(e *networking.WorkloadEntry) *networking.WorkloadEntry {
	e.DeletionTimestamp = &metav1.Time{Time: epoch}
	return e
}

// TestSweep: what the leader writes.
func TestSweep(t *testing.T) {
	const grace = 10 * time.Second
	now := epoch.Add(time.Hour)
	entry := func(replica, since string) *networking.WorkloadEntry {
		e := registration.Entry(aMachine(), aGroup(), replica, epoch)
		if since != "" {
			delete(e.Annotations, registration.ConnectedAnnotation)
			e.Annotations[registration.DisconnectedAnnotation] = since
		}
		return e
	}
	ago := func(d time.Duration) string { return stamped(now.Add(-d)) }
	for name, c := range map[string]struct {
		entry       *networking.WorkloadEntry
		gone, taken bool
		due         time.Duration
	}{
		"Connected":       {entry: entry("ours/alive", "")},
		"ReplicaIsGone":   {entry: entry("ours/dead", ""), taken: true},
		"Away":            {entry: entry("ours/alive", ago(4*time.Second)), due: 6 * time.Second},
		"AwayTooLong":     {entry: entry("ours/alive", ago(grace)), gone: true},
		"AwayReplicaGone": {entry: entry("ours/dead", ago(4*time.Second)), due: 6 * time.Second},
		"Unreadable":      {entry: entry("ours/alive", "yesterday"), gone: true},
		"IstiosOwn":       {entry: entry("istiod-5d8f", "")},
		"IstiosOwnAway":   {entry: entry("istiod-5d8f", ago(time.Hour))},
		"BeingDeleted":    {entry: deleted(entry("ours/dead", ""))},
		"ByHand":          {entry: marked(byHand())},
	} {
		t.Run(name, func(t *testing.T) {
			got, due := registration.Sweep(c.entry, func(r string) bool { return len(r) > 4 && r[:4] == "ours" || r == "a" }, func(r string) bool { return r == "ours/alive" }, now, grace)
			if got.Delete != c.gone || (got.Annotations != nil) != c.taken || got.Create != nil || got.Conditions != nil {
				t.Errorf("got %+v", got)
			}
			if c.taken && got.Annotations[registration.DisconnectedAnnotation] != stamped(now) {
				t.Errorf("got %v", got.Annotations)
			}
			if (c.due == 0) != due.IsZero() || c.due != 0 && due.Sub(now) != c.due {
				t.Errorf("due %v", due)
			}
		})
	}
}
