// SPDX-License-Identifier: Apache-2.0

package extensions

import (
	"fmt"
	"strings"

	typeapi "istio.io/api/type/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const kindWasmPlugin = "WasmPlugin"

// Reasons of Problems; the first two as package ingest has them.
const (
	invalid      = "Invalid"
	notSupported = "NotSupported"
	unavailable  = "ModuleUnavailable"
)

// noPod selects no pod: labels have no such characters.
const noPod = "*=*"

// reader collects what is wrong with one object.
type reader struct {
	origin   model.Origin
	settings *model.Settings
	problems []model.Problem
	// fault is the first thing for which the plugin can't be had.
	fault string
}

func newReader(o metav1.Object, s *model.Settings) *reader {
	return &reader{settings: s, origin: model.Origin{
		Kind: kindWasmPlugin, Namespace: o.GetNamespace(), Name: o.GetName(), CreatedUnix: o.GetCreationTimestamp().Unix(),
	}}
}

// refuse a field: the plugin can't be had.
func (r *reader) refuse(field, format string, args ...any) { r.fail(field, invalid, format, args...) }

func (r *reader) fail(field, reason, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if r.fault == "" {
		r.fault = field + ": " + message
	}
	r.tell(field, reason, "%s", message)
}

// tell of something that doesn't make the plugin useless.
func (r *reader) tell(field, reason, format string, args ...any) {
	r.problems = append(r.problems, r.origin.Problem(field, reason, fmt.Sprintf(format, args...)))
}

// unavailable tells why a module isn't there, and what follows.
func (r *reader) unavailable(p *model.WasmPlugin, why string) {
	effect := "requests and connections that it is to see are refused (failStrategy " + strategyNames[p.Fail] + ")"
	switch {
	case p.Module != nil:
		effect = "the module that was fetched before stays in place"
	case p.Fail == model.FailOpen:
		effect = "traffic passes without the plugin (failStrategy FAIL_OPEN)"
	}
	r.tell("spec.url", unavailable, "the module can't be had: %s; until then %s", why, effect)
}

var strategyNames = map[model.FailStrategy]string{
	model.FailClose: "FAIL_CLOSE", model.FailOpen: "FAIL_OPEN", model.FailReload: "FAIL_RELOAD",
}

// target reads what a plugin applies to.
func (r *reader) target(selector *typeapi.WorkloadSelector, one *typeapi.PolicyTargetReference, refs []*typeapi.PolicyTargetReference) model.Target {
	if one != nil {
		refs = append([]*typeapi.PolicyTargetReference{one}, refs...)
	}
	labels := selector.GetMatchLabels()
	t := model.Target{Selector: model.LabelsOf(labels)}
	for k, v := range labels {
		if strings.ContainsAny(k+v, "*,=") || k == "" {
			r.refuse("spec.selector.matchLabels", "a label in it can't be on a pod, so the plugin selects none; a selector has whole labels and no wildcards")
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
		r.refuse(field+".namespace", "a plugin targets objects of its own namespace; put it into namespace %.100q", ref.GetNamespace())
	}
	if ref.GetName() == "" {
		r.refuse(field+".name", "no object is named; give its name")
	}
	switch ref.GetGroup() + "/" + ref.GetKind() {
	case "gateway.networking.k8s.io/Gateway":
	case "gateway.networking.k8s.io/GatewayClass":
		if r.origin.Namespace != r.settings.RootNamespace {
			r.refuse(field, "a plugin for a GatewayClass must be in the root namespace; move it to %q", r.settings.RootNamespace)
		}
	case "/Service", "core/Service", "networking.istio.io/ServiceEntry":
		r.tell(field, notSupported, "plugins for a %s run at waypoints, which there are none of; "+
			"select the workloads with spec.selector instead", ref.GetKind())
	default:
		r.refuse(field, "plugins don't apply to %.100q of group %.100q; use Gateway or GatewayClass of gateway.networking.k8s.io", ref.GetKind(), ref.GetGroup())
	}
}
