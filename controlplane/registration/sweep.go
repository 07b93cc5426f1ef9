// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"time"

	networking "istio.io/client-go/pkg/apis/networking/v1"
)

// Sweep is what the leader has to write about an entry, whoever the machine was
// connected to: one whose replica is gone isn't connected any more, and one that
// hasn't been connected for the time of grace goes. Ours tells replicas of this
// control plane from others, such as an istiod of Istio's that is beside it, whose
// entries are left alone; alive says whether such a replica is there. When nothing
// is to be written yet but will be if nothing happens, due says when; else it is
// zero.
func Sweep(e *networking.WorkloadEntry, ours, alive func(replica string) bool, now time.Time, grace time.Duration) (c Change, due time.Time) {
	replica := e.Annotations[ControllerAnnotation]
	if !Registered(e) || e.DeletionTimestamp != nil || !ours(replica) {
		return Change{}, time.Time{}
	}
	away, gone := e.Annotations[DisconnectedAnnotation]
	switch {
	case !gone && alive(replica):
		return Change{}, time.Time{}
	case !gone:
		return left(now), time.Time{}
	}
	// One that can't be read is as old as can be.
	if due = stamped(away).Add(grace); due.After(now) {
		return Change{}, due
	}
	return Change{Delete: true}, time.Time{}
}
