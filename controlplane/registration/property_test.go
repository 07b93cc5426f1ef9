// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"slices"
	"testing"
	"time"

	metaapi "istio.io/api/meta/v1alpha1"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
	_ "github.com/isthmesh/isthmesh/test/fixedseed"
)

const away = 10 * time.Second

// town is replicas of a control plane, a machine with an entry, and the time.
// Each replica's clock is off by some seconds.
type town struct {
	now      time.Time
	entry    *networking.WorkloadEntry
	group    *networking.WorkloadGroup
	machine  *model.Machine
	replicas []*replica
}

type replica struct {
	name    string
	skew    time.Duration
	crashed bool
	since   []time.Time // streams that configure the machine
	health  *model.MachineHealth
}

func (w *town) clock(r *replica) time.Time { return w.now.Add(r.skew) }

// write a change; the API server lets it happen only to what it was decided on.
func (w *town) write(c registration.Change) {
	switch {
	case c.Create != nil:
		w.entry = c.Create
	case c.Delete:
		w.entry = nil
	case c.Annotations != nil:
		w.entry = w.entry.DeepCopy()
		for name, value := range c.Annotations {
			if value == "" {
				delete(w.entry.Annotations, name)
			} else {
				w.entry.Annotations[name] = value
			}
		}
	default:
		w.entry = w.entry.DeepCopy()
		w.entry.Status.Conditions = c.Conditions
	}
}

// tell what a replica knows; false when there is nothing to tell.
func (w *town) tell(r *replica) bool {
	if r.crashed {
		return false
	}
	h := registration.Here{Replica: r.name, Health: r.health, Now: w.clock(r)}
	if len(r.since) > 0 {
		h.Since = slices.MaxFunc(r.since, time.Time.Compare)
	}
	if len(r.since) > 0 || r.health != nil {
		h.Machine = w.machine
	}
	c := registration.Next(w.entry, w.group, h)
	if !c.None() {
		w.write(c)
	}
	return !c.None()
}

// sweep as the leader; false when there is nothing to do.
func (w *town) sweep() bool {
	if w.entry == nil {
		return false
	}
	alive := func(name string) bool {
		return slices.ContainsFunc(w.replicas, func(r *replica) bool { return r.name == name && !r.crashed })
	}
	c, _ := registration.Sweep(w.entry, func(string) bool { return true }, alive, w.now, away)
	if !c.None() {
		w.write(c)
	}
	return !c.None()
}

// settle lets everybody write until nobody has anything to.
func (w *town) settle(t *rapid.T) {
	for range 50 {
		more := w.sweep()
		for _, r := range w.replicas {
			more = w.tell(r) || more
		}
		if !more {
			return
		}
	}
	t.Fatalf("they never come to an end: %v", w.entry)
}

// TestAnyOrder: whatever happens in whatever order, at replicas whose clocks
// differ and that write when they come to it, a machine that is connected
// somewhere is registered, one that isn't is gone after the grace, and its health
// is what it said last.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &town{now: epoch, group: aGroup(), machine: aMachine(func(m *model.Machine) { m.Probed = true })}
		for _, name := range []string{"a", "b", "c"} {
			w.replicas = append(w.replicas, &replica{name: name, skew: time.Duration(rapid.IntRange(-3, 3).Draw(t, "skew")) * time.Second})
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			r := rapid.SampledFrom(w.replicas).Draw(t, "replica")
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 4000).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 8).Draw(t, "event") {
			case 0, 1:
				if !r.crashed {
					r.since = append(r.since, w.clock(r))
				}
			case 2:
				if len(r.since) > 0 {
					r.since = r.since[1:]
				}
			case 3:
				if !r.crashed {
					r.health = &model.MachineHealth{Healthy: rapid.Bool().Draw(t, "healthy"), At: w.clock(r)}
				}
			case 4:
				r.crashed, r.since, r.health = true, nil, nil
			case 5:
				if r.crashed {
					r.crashed, r.name = false, r.name+"'"
				}
			case 6:
				w.sweep()
			default:
				w.tell(r)
			}
		}
		w.settle(t)
		check(t, w)
		// Nobody comes for a while, by the clocks of all.
		w.now = w.now.Add(away + 10*time.Second)
		w.settle(t)
		check(t, w)
		connected := slices.ContainsFunc(w.replicas, func(r *replica) bool { return len(r.since) > 0 })
		if !connected && w.entry != nil {
			t.Fatalf("the machine is gone, its entry isn't: %v", w.entry.Annotations)
		}
		if told := w.told(); connected && told != nil && told.Healthy != (healthOf(w.entry.Status.GetConditions()) == "True Probed: ") {
			t.Fatalf("its health is %v, the entry says %q", told.Healthy, healthOf(w.entry.Status.GetConditions()))
		}
	})
}

// told is the newest report that a replica has, when no clock is in doubt.
func (w *town) told() *model.MachineHealth {
	var all []*model.MachineHealth
	for _, r := range w.replicas {
		if r.health != nil {
			all = append(all, r.health)
		}
	}
	if len(all) != 1 || w.entry == nil {
		return nil
	}
	if i := slices.IndexFunc(w.entry.Status.GetConditions(), func(c condition) bool {
		return c.GetLastProbeTime().AsTime().After(all[0].At)
	}); i >= 0 {
		return nil // said by a stream that is gone, by a clock that was ahead
	}
	return all[0]
}

type condition = *metaapi.IstioCondition

func check(t *rapid.T, w *town) {
	var connected []string
	for _, r := range w.replicas {
		if len(r.since) > 0 {
			connected = append(connected, r.name)
		}
	}
	switch {
	case len(connected) == 0:
	case w.entry == nil:
		t.Fatalf("it is connected to %v and not registered", connected)
	case w.entry.Annotations[registration.DisconnectedAnnotation] != "":
		t.Fatalf("it is connected to %v and not said to be: %v", connected, w.entry.Annotations)
	case !slices.Contains(connected, w.entry.Annotations[registration.ControllerAnnotation]):
		t.Fatalf("it is connected to %v: %v", connected, w.entry.Annotations)
	}
}
