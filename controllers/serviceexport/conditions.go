// SPDX-License-Identifier: Apache-2.0

package serviceexport

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/member"
)

// Hub is how far the hub is with what this member exports.
type Hub int

// The states of the hub.
const (
	// None: this cluster is no member of a federation.
	None Hub = iota
	// Away: there is no stream, or it is not known yet what the hub holds.
	Away
	// Holds: the hub has acknowledged all exports.
	Holds
)

// facts are all that the conditions of one ServiceExport follow from.
type facts struct {
	// problem that ingest has with it; nil for none.
	problem *model.Problem
	// exported: it is among what this member exports.
	exported bool
	hub      Hub
	// why is the reason that the hub is away.
	why string
	// refused by the hub, in full or in part; nil for neither.
	refused *member.Refusal
}

// conditions are what the facts make of was: Valid, Ready and Conflict, by the
// words of the multi-cluster services API. Nil means that there is nothing to
// say yet. What only the hub knows stays as it was while the hub is away: its
// silence is no news.
func conditions(f facts, was []metav1.Condition) []metav1.Condition {
	invalid := f.problem != nil && isInvalid(f.problem)
	if !f.exported && !invalid {
		return nil // the mesh is older than the object
	}
	return []metav1.Condition{valid(f, invalid), ready(f, invalid, was), conflict(f, invalid, was)}
}

// isInvalid: other problems name a field that is not supported and passed over.
func isInvalid(p *model.Problem) bool {
	return p.Reason == string(mcs.ServiceExportReasonNoService) || p.Reason == string(mcs.ServiceExportReasonInvalidServiceType)
}

func condition(t mcs.ServiceExportConditionType, status metav1.ConditionStatus, reason mcs.ServiceExportConditionReason, message string) metav1.Condition {
	return metav1.Condition{Type: string(t), Status: status, Reason: string(reason), Message: message}
}

func valid(f facts, invalid bool) metav1.Condition {
	switch {
	case invalid:
		return condition(mcs.ServiceExportConditionValid, metav1.ConditionFalse, mcs.ServiceExportConditionReason(f.problem.Reason), f.problem.Message)
	case f.problem != nil:
		return condition(mcs.ServiceExportConditionValid, metav1.ConditionTrue, mcs.ServiceExportReasonValid, f.problem.Field+": "+f.problem.Message)
	}
	return condition(mcs.ServiceExportConditionValid, metav1.ConditionTrue, mcs.ServiceExportReasonValid, "")
}

func ready(f facts, invalid bool, was []metav1.Condition) metav1.Condition {
	const t = mcs.ServiceExportConditionReady
	switch {
	case invalid:
		return condition(t, metav1.ConditionFalse, mcs.ServiceExportReasonFailed, "The export is not valid.")
	case f.hub == None:
		return condition(t, metav1.ConditionUnknown, mcs.ServiceExportReasonPending, "This cluster is not a member of a federation: a MeshMember on the hub makes it one.")
	case f.hub == Away:
		if before := find(was, t); before != nil && before.Reason != string(mcs.ServiceExportReasonPending) {
			return *before
		}
		return condition(t, metav1.ConditionUnknown, mcs.ServiceExportReasonPending, strings.TrimSuffix("The hub does not have it yet: "+f.why, ": "))
	case f.refused != nil && !isConflict(f.refused):
		return condition(t, metav1.ConditionFalse, mcs.ServiceExportReasonFailed, fmt.Sprintf("%s: %s", f.refused.Reason, f.refused.Message))
	}
	return condition(t, metav1.ConditionTrue, mcs.ServiceExportReasonExported, "")
}

// noConflicts is the reason that the API has for a Conflict that isn't.
const noConflicts mcs.ServiceExportConditionReason = "NoConflicts"

func conflict(f facts, invalid bool, was []metav1.Condition) metav1.Condition {
	const t = mcs.ServiceExportConditionConflict
	if f.hub == Away && !invalid {
		if before := find(was, t); before != nil {
			return *before
		}
	}
	if f.hub == Holds && f.refused != nil && isConflict(f.refused) {
		return condition(t, metav1.ConditionTrue, mcs.ServiceExportConditionReason(f.refused.Reason), f.refused.Message)
	}
	return condition(t, metav1.ConditionFalse, noConflicts, "")
}

// isConflict: the export is taken, but an older one defines the service.
func isConflict(r *member.Refusal) bool {
	for _, reason := range strings.Split(r.Reason, ",") {
		if !strings.HasSuffix(reason, "Conflict") {
			return false
		}
	}
	return true
}

// find returns what matters of a condition, without its times.
func find(all []metav1.Condition, t mcs.ServiceExportConditionType) *metav1.Condition {
	for _, c := range all {
		if c.Type == string(t) {
			return &metav1.Condition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message}
		}
	}
	return nil
}
