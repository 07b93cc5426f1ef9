// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"time"

	metaapi "istio.io/api/meta/v1alpha1"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Here is what one replica knows of the machine that an entry stands for.
type Here struct {
	// Replica is this one.
	Replica string
	// Machine that has a stream to this replica; nil when there is none.
	Machine *model.Machine
	// Since when it gets its configuration from this replica; zero when it doesn't.
	Since time.Time
	// Health is its last report to this replica; nil for none. It may come to
	// another replica than the one that configures the machine.
	Health *model.MachineHealth
	// Now is the time.
	Now time.Time
}

// Change of an entry to be written; the zero value is none. At most one field is set.
type Change struct {
	// Create this entry.
	Create *networking.WorkloadEntry
	// Annotations to set; those that are empty are to be removed.
	Annotations map[string]string
	// Conditions that the status is to have.
	Conditions []*metaapi.IstioCondition
	// Delete the entry.
	Delete bool
}

// None is true when there is nothing to write.
func (c Change) None() bool {
	return c.Create == nil && c.Annotations == nil && c.Conditions == nil && !c.Delete
}

// Next is what a replica has to write so that the entry of a machine says what the
// replica knows; entry and group are nil when they aren't there. It is to be asked
// again after each change. Asked in any order, by any number of replicas, of which
// at most one has the machine, entries end up saying how the machine is.
func Next(entry *networking.WorkloadEntry, group *networking.WorkloadGroup, h Here) Change {
	connected := !h.Since.IsZero()
	if entry == nil {
		if !connected || Admit(h.Machine, group, nil) != nil {
			return Change{}
		}
		return Change{Create: Entry(h.Machine, group, h.Replica, h.Since)}
	}
	if !Registered(entry) || entry.DeletionTimestamp != nil {
		return Change{}
	}
	mine, away := entry.Annotations[ControllerAnnotation] == h.Replica, entry.Annotations[DisconnectedAnnotation] != ""
	if mine && !away && !connected {
		return left(h.Now)
	}
	if h.Machine == nil || Admit(h.Machine, group, entry) != nil {
		return Change{}
	}
	since := entry.Annotations[ConnectedAnnotation]
	told := mine && since == stamp(h.Since)
	// It has gone to another replica; the stream here is its last one's.
	elsewhere := !mine && stamped(since).After(h.Since)
	if connected && (away || !told && !elsewhere) {
		return Change{Annotations: map[string]string{
			ControllerAnnotation: h.Replica, ConnectedAnnotation: stamp(h.Since), DisconnectedAnnotation: "",
		}}
	}
	return Change{Conditions: reported(entry, h.Health)}
}

// left is an entry whose machine isn't connected any more.
func left(now time.Time) Change {
	return Change{Annotations: map[string]string{ConnectedAnnotation: "", DisconnectedAnnotation: stamp(now)}}
}
