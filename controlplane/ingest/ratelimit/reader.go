// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"fmt"

	typeapi "istio.io/api/type/v1beta1"

	"github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest/target"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Reasons of Problems, as package ingest has them.
const (
	invalid  = "Invalid"
	notFound = "NotFound"
)

// reader collects what is wrong with one policy.
type reader struct {
	origin    model.Origin
	settings  *model.Settings
	hostnames []model.Hostname
	problems  []model.Problem
	// broken: the policy can't be had.
	broken bool
}

// refuse a field: the policy is not in force.
func (r *reader) refuse(field, format string, args ...any) {
	r.broken = true
	r.tell(field, invalid, format, args...)
}

// tell of something that leaves the policy in force.
func (r *reader) tell(field, reason, format string, args ...any) {
	r.problems = append(r.problems, r.origin.Problem(field, reason, fmt.Sprintf(format, args...)))
}

// targeted is the selector and the targetRefs of a policy in the types of Istio's kinds.
type targeted struct {
	selector *typeapi.WorkloadSelector
	refs     []*typeapi.PolicyTargetReference
}

func (t targeted) GetSelector() *typeapi.WorkloadSelector { return t.selector }

// GetTargetRef is nil: there is only the list.
func (t targeted) GetTargetRef() *typeapi.PolicyTargetReference { return nil }

func (t targeted) GetTargetRefs() []*typeapi.PolicyTargetReference { return t.refs }

// target reads what the policy is for. Services are targets here: what their
// workloads take on their ports.
func (r *reader) target(spec *v1alpha1.RateLimitPolicySpec) model.Target {
	var t targeted
	if spec.Selector != nil {
		if len(spec.Selector.MatchLabels) == 0 {
			r.refuse("spec.selector.matchLabels", "no label is named; name one, or leave selector out for all workloads")
		}
		t.selector = &typeapi.WorkloadSelector{MatchLabels: spec.Selector.MatchLabels}
	}
	for i, ref := range spec.TargetRefs {
		gateway := ref.Kind == "Gateway" && ref.Group == "gateway.networking.k8s.io"
		if !gateway && (ref.Kind != "Service" || ref.Group != "" && ref.Group != "core") {
			r.refuse(fmt.Sprintf("spec.targetRefs[%d]", i), "policies don't apply to %.100q of group %.100q; use Gateway of group gateway.networking.k8s.io, or Service of none", ref.Kind, ref.Group)
			continue
		}
		t.refs = append(t.refs, &typeapi.PolicyTargetReference{Group: ref.Group, Kind: ref.Kind, Name: ref.Name})
	}
	return target.Owner{
		Noun: "policy", Plural: "policies", Namespace: r.origin.Namespace, RootNamespace: r.settings.RootNamespace,
		Refuse: r.refuse, Unused: func(string, string, ...any) {},
	}.Read(t)
}
