// SPDX-License-Identifier: Apache-2.0

package security

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

// target reads what a policy applies to.
func (r *reader) target(selector *typeapi.WorkloadSelector, one *typeapi.PolicyTargetReference, refs []*typeapi.PolicyTargetReference) model.Target {
	if one != nil {
		refs = append([]*typeapi.PolicyTargetReference{one}, refs...)
	}
	labels := selector.GetMatchLabels()
	t := model.Target{Selector: model.LabelsOf(labels)}
	for _, k := range slices.Sorted(maps.Keys(labels)) { // the same one is named each time
		v := labels[k]
		if strings.ContainsAny(k+v, "*,=") || k == "" {
			r.refuse("spec.selector.matchLabels", "label %q can't be on a pod, so the policy selects none; a selector has whole labels and no wildcards", k+"="+v)
			t.Selector = noPod
			break
		}
	}
	if len(labels) > 0 && len(refs) > 0 {
		r.refuse("spec.targetRefs", "selector and targetRefs exclude each other; remove one of them")
	}
	for i, ref := range refs {
		r.checkRef(fmt.Sprintf("spec.targetRefs[%d]", i), ref)
		group := ref.GetGroup()
		if group == "core" {
			group = ""
		}
		t.Refs = append(t.Refs, model.TargetRef{Group: group, Kind: ref.GetKind(), Name: ref.GetName()})
	}
	return t
}

func (r *reader) checkRef(field string, ref *typeapi.PolicyTargetReference) {
	if ref.GetNamespace() != "" && ref.GetNamespace() != r.origin.Namespace {
		r.refuse(field+".namespace", "a policy targets objects of its own namespace; put it into namespace %q", ref.GetNamespace())
	}
	if ref.GetName() == "" {
		r.refuse(field+".name", "no object is named; give its name")
	}
	switch ref.GetGroup() + "/" + ref.GetKind() {
	case "gateway.networking.k8s.io/Gateway":
	case "gateway.networking.k8s.io/GatewayClass":
		if r.origin.Namespace != r.settings.RootNamespace {
			r.refuse(field, "a policy for a GatewayClass must be in the root namespace; move it to %q", r.settings.RootNamespace)
		}
	case "/Service", "core/Service", "networking.istio.io/ServiceEntry":
		r.tell(field, notSupported, "policies for a %s hold at waypoints, which there are none of, so this one is not in force; "+
			"select the workloads with spec.selector instead", ref.GetKind())
	default:
		r.refuse(field, "%s/%s is no kind that policies apply to; use Gateway or GatewayClass of gateway.networking.k8s.io", ref.GetGroup(), ref.GetKind())
	}
}
