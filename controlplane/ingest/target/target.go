// SPDX-License-Identifier: Apache-2.0

// Package target reads what a policy or a plugin applies to: its selector and
// its targetRefs, which have one meaning in all kinds of Istio's. It is a part
// of ingest, used by those that read such kinds.
package target

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	typeapi "istio.io/api/type/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// noPod selects no pod: labels have no such characters.
const noPod = "*=*"

// Spec of a kind that has a target; *security.AuthorizationPolicy and others.
type Spec interface {
	GetSelector() *typeapi.WorkloadSelector
	GetTargetRef() *typeapi.PolicyTargetReference
	GetTargetRefs() []*typeapi.PolicyTargetReference
}

// Owner is the object that has a target.
type Owner struct {
	// Noun and Plural of its kind, for messages: "policy", "policies".
	Noun, Plural string
	// Namespace it is in, and the mesh's root namespace.
	Namespace, RootNamespace string
	// Refuse is told of a field that leaves the object without a target that could
	// be right; Unused of one whose meaning is not honoured.
	Refuse, Unused func(field, format string, args ...any)
}

// Read what an object applies to: what its selector selects, or what its
// targetRef and targetRefs name.
func (of Owner) Read(spec Spec) model.Target {
	labels, refs := spec.GetSelector().GetMatchLabels(), spec.GetTargetRefs()
	if one := spec.GetTargetRef(); one != nil {
		refs = append([]*typeapi.PolicyTargetReference{one}, refs...)
	}
	t := model.Target{Selector: model.LabelsOf(labels)}
	for _, k := range slices.Sorted(maps.Keys(labels)) { // the same one is named each time
		v := labels[k]
		if strings.ContainsAny(k+v, "*,=") || k == "" {
			of.Refuse("spec.selector.matchLabels", "label %.100q can't be on a pod, so the %s selects none; a selector has whole labels and no wildcards", k+"="+v, of.Noun)
			t.Selector = noPod
			break
		}
	}
	if len(labels) > 0 && len(refs) > 0 {
		of.Refuse("spec.targetRefs", "selector and targetRefs exclude each other; remove one of them")
	}
	for i, ref := range refs {
		of.check(fmt.Sprintf("spec.targetRefs[%d]", i), ref)
		group := ref.GetGroup()
		if group == "core" {
			group = ""
		}
		t.Refs = append(t.Refs, model.TargetRef{Group: group, Kind: ref.GetKind(), Name: ref.GetName()})
	}
	return t
}

func (of Owner) check(field string, ref *typeapi.PolicyTargetReference) {
	if ref.GetNamespace() != "" && ref.GetNamespace() != of.Namespace {
		of.Refuse(field+".namespace", "a %s targets objects of its own namespace; put it into namespace %.100q", of.Noun, ref.GetNamespace())
	}
	if ref.GetName() == "" {
		of.Refuse(field+".name", "no object is named; give its name")
	}
	switch ref.GetGroup() + "/" + ref.GetKind() {
	case "gateway.networking.k8s.io/Gateway":
	case "gateway.networking.k8s.io/GatewayClass":
		if of.Namespace != of.RootNamespace {
			of.Refuse(field, "a %s for a GatewayClass must be in the root namespace; move it to %q", of.Noun, of.RootNamespace)
		}
	case "/Service", "core/Service", "networking.istio.io/ServiceEntry":
		of.Unused(field, "%s for a %s apply at waypoints, which there are none of, so this one is not in force; "+
			"select the workloads with spec.selector instead", of.Plural, ref.GetKind())
	default:
		of.Refuse(field, "%s don't apply to %.100q of group %.100q; use Gateway or GatewayClass of gateway.networking.k8s.io", of.Plural, ref.GetKind(), ref.GetGroup())
	}
}
