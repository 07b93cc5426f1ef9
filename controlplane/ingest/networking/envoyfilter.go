// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	api "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const kindEnvoyFilter = "EnvoyFilter"

func readEnvoyFilter(o *networking.EnvoyFilter, settings *model.Settings) ([]*model.Patch, []model.Problem) {
	r := newReader(kindEnvoyFilter, o, settings)
	spec := &o.Spec
	target, ok := r.target(spec)
	if len(spec.GetConfigPatches()) == 0 {
		r.tell("spec.configPatches", noEffect, "there is none, so nothing is patched; add a patch")
	}
	var out []*model.Patch
	for i, p := range spec.GetConfigPatches() {
		before := r.refusals
		made, fine := r.patch(at("spec.configPatches", i), p)
		if !fine || r.refusals > before || !ok {
			continue
		}
		made.Origin, made.Index, made.Priority, made.Target = r.origin, i, spec.GetPriority(), target
		out = append(out, made)
	}
	return out, r.problems
}

// target of an EnvoyFilter: workloads by labels, or objects by reference.
func (r *reader) target(spec *api.EnvoyFilter) (model.Target, bool) {
	selector, ok := r.labels("spec.workloadSelector.labels", spec.GetWorkloadSelector().GetLabels())
	out := model.Target{Selector: selector}
	if spec.GetWorkloadSelector() != nil && len(spec.GetTargetRefs()) > 0 {
		r.refuse("spec.targetRefs", "workloadSelector and targetRefs exclude each other; keep one")
		return out, false
	}
	for i, ref := range spec.GetTargetRefs() {
		field := at("spec.targetRefs", i)
		group, kind := ref.GetGroup(), ref.GetKind()
		switch {
		case ref.GetName() == "":
			r.refuse(field+".name", "it is empty; name an object")
			ok = false
		case ref.GetNamespace() != "" && ref.GetNamespace() != r.origin.Namespace:
			r.refuse(field+".namespace", "%.100q is another namespace; a filter applies to objects of its own only", ref.GetNamespace())
			ok = false
		case group == "gateway.networking.k8s.io" && (kind == "Gateway" || kind == "GatewayClass"):
		case group == "" && kind == "Service", group == "networking.istio.io" && kind == "ServiceEntry":
			r.tell(field, notSupported, "there are no waypoints here, so nothing of this reference is patched; use workloadSelector")
		default:
			r.refuse(field, "a filter can't refer to %.100q of group %.100q; use a Gateway of gateway.networking.k8s.io", kind, group)
			ok = false
		}
		out.Refs = append(out.Refs, model.TargetRef{Group: group, Kind: kind, Name: ref.GetName()})
	}
	return out, ok
}

// Kinds of matches that a patch of what may have; "" is none.
var patchMatches = map[api.EnvoyFilter_ApplyTo]string{
	api.EnvoyFilter_LISTENER: "listener", api.EnvoyFilter_LISTENER_FILTER: "listener", api.EnvoyFilter_FILTER_CHAIN: "listener",
	api.EnvoyFilter_NETWORK_FILTER: "listener", api.EnvoyFilter_HTTP_FILTER: "listener",
	api.EnvoyFilter_ROUTE_CONFIGURATION: "routeConfiguration", api.EnvoyFilter_VIRTUAL_HOST: "routeConfiguration",
	api.EnvoyFilter_HTTP_ROUTE: "routeConfiguration", api.EnvoyFilter_CLUSTER: "cluster", api.EnvoyFilter_EXTENSION_CONFIG: "",
	api.EnvoyFilter_BOOTSTRAP: "",
}

// patch that one item says; false when it can't be used, or finds nothing to patch.
func (r *reader) patch(field string, p *api.EnvoyFilter_EnvoyConfigObjectPatch) (*model.Patch, bool) {
	kind, known := patchMatches[p.GetApplyTo()]
	switch {
	case !known:
		r.refuse(field+".applyTo", "it doesn't say what is patched; use such as HTTP_FILTER or CLUSTER")
		return nil, false
	case p.GetPatch() == nil:
		r.refuse(field+".patch", "it is missing; say what changes")
		return nil, false
	}
	context := p.GetMatch().GetContext()
	if _, ok := api.EnvoyFilter_PatchContext_name[int32(context)]; !ok {
		r.refuse(field+".match.context", "%d is none that is known; use ANY, SIDECAR_INBOUND, SIDECAR_OUTBOUND or GATEWAY", context)
		return nil, false
	}
	if context == api.EnvoyFilter_WAYPOINT {
		r.tell(field+".match.context", notSupported, "there are no waypoints here, so nothing is patched; use another context")
		return nil, false
	}
	matched, possible := r.patchMatch(field+".match", kind, p), r.operation(field+".patch", p)
	return &model.Patch{
		ApplyTo: p.GetApplyTo().String(), Context: context.String(), Operation: p.GetPatch().GetOperation().String(),
		FilterClass: p.GetPatch().GetFilterClass().String(),
		Match:       r.json(field+".match", p.GetMatch()), Value: r.json(field+".patch.value", p.GetPatch().GetValue()),
	}, matched && possible
}

// patchMatch has the object type that what is patched has; false when it has another.
func (r *reader) patchMatch(field, kind string, p *api.EnvoyFilter_EnvoyConfigObjectPatch) bool {
	m := p.GetMatch()
	has := ""
	switch v := m.GetObjectTypes().(type) {
	case *api.EnvoyFilter_EnvoyConfigObjectMatch_Listener:
		has = "listener"
		if v.Listener.GetPortName() != "" {
			r.tell(field+".listener.portName", notSupported, "listeners aren't matched by the name of a port; use portNumber")
		}
		r.filterMatch(field+".listener.filterChain.filter", p.GetApplyTo(), v.Listener.GetFilterChain().GetFilter())
	case *api.EnvoyFilter_EnvoyConfigObjectMatch_RouteConfiguration:
		has = "routeConfiguration"
	case *api.EnvoyFilter_EnvoyConfigObjectMatch_Cluster:
		has = "cluster"
	case *api.EnvoyFilter_EnvoyConfigObjectMatch_Waypoint:
		has = "waypoint"
	}
	if v := m.GetProxy().GetProxyVersion(); v != "" {
		if err := model.CheckPattern(v); err != nil {
			r.refuse(field+".proxy.proxyVersion", "%v; mend or shorten it", err)
		}
	}
	if has == "" || has == kind {
		return true
	}
	tell := r.refuse
	if kind == "" || has == "waypoint" || p.GetApplyTo() == api.EnvoyFilter_LISTENER_FILTER {
		tell = func(field, format string, args ...any) { r.tell(field, noEffect, format, args...) }
	}
	tell(field+"."+has, "%s is not matched by %s, so nothing is patched; use the match that belongs to it", p.GetApplyTo(), has)
	return false
}

// filterMatch names a filter, and perhaps one inside it.
func (r *reader) filterMatch(field string, to api.EnvoyFilter_ApplyTo, f *api.EnvoyFilter_ListenerMatch_FilterMatch) {
	const manager = "envoy.filters.network.http_connection_manager"
	inner := f.GetSubFilter()
	switch {
	case f == nil || to == api.EnvoyFilter_LISTENER_FILTER || patchMatches[to] != "listener":
	case f.GetName() == "" && inner != nil:
		r.refuse(field+".name", "it is empty; name the filter that subFilter is inside of: "+manager)
	case f.GetName() == "":
		r.reject(field+".name", "it is empty; name the filter, such as "+manager)
	case inner == nil:
	case to != api.EnvoyFilter_HTTP_FILTER:
		r.reject(field+".subFilter", "what is inside a filter is matched for HTTP_FILTER only; remove it")
	case f.GetName() != manager && f.GetName() != "envoy.http_connection_manager":
		r.reject(field+".name", "%.100q has no filters inside; use "+manager+", or remove subFilter", f.GetName())
	case inner.GetName() == "":
		r.reject(field+".subFilter.name", "it is empty; name the filter, such as envoy.filters.http.router")
	}
}

// inserts are the operations that put something at a place of a list.
var inserts = map[api.EnvoyFilter_Patch_Operation]bool{
	api.EnvoyFilter_Patch_INSERT_BEFORE: true, api.EnvoyFilter_Patch_INSERT_AFTER: true, api.EnvoyFilter_Patch_INSERT_FIRST: true,
}

// operation must have what it needs; false when it does nothing.
func (r *reader) operation(field string, p *api.EnvoyFilter_EnvoyConfigObjectPatch) bool {
	does := true
	nothing := func(sub, format string, args ...any) {
		does = false
		r.tell(field+sub, noEffect, format, args...)
	}
	op, value, to := p.GetPatch().GetOperation(), p.GetPatch().GetValue(), p.GetApplyTo()
	_, known := api.EnvoyFilter_Patch_Operation_name[int32(op)]
	switch {
	case op == api.EnvoyFilter_Patch_INVALID || !known:
		r.refuse(field+".operation", "it doesn't say how to patch; use such as MERGE, ADD or INSERT_BEFORE")
	case op == api.EnvoyFilter_Patch_REMOVE && len(value.GetFields()) > 0:
		r.tell(field+".value", noEffect, "REMOVE needs no value; leave it out")
	case op != api.EnvoyFilter_Patch_REMOVE && value == nil:
		r.refuse(field+".value", "%s needs what to patch with; add a value", op)
	case op != api.EnvoyFilter_Patch_REMOVE && len(value.GetFields()) == 0:
		nothing(".value", "%s needs what to patch with, so nothing is patched; add to the value", op)
	case op == api.EnvoyFilter_Patch_REPLACE && to != api.EnvoyFilter_HTTP_FILTER && to != api.EnvoyFilter_NETWORK_FILTER && to != api.EnvoyFilter_LISTENER_FILTER:
		nothing(".operation", "REPLACE is for filters only, so nothing is patched; use REMOVE and ADD, or MERGE")
	case inserts[op] && (to == api.EnvoyFilter_CLUSTER || to == api.EnvoyFilter_LISTENER):
		nothing(".operation", "%ss are not in an order, so %s finds no place for one; use ADD", to, op)
	case to == api.EnvoyFilter_ROUTE_CONFIGURATION && op != api.EnvoyFilter_Patch_MERGE && op != api.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST:
		nothing(".operation", "of a route configuration only MERGE is possible, so nothing is patched; use it, or patch VIRTUAL_HOST")
	case to == api.EnvoyFilter_BOOTSTRAP && op != api.EnvoyFilter_Patch_MERGE && op != api.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST:
		nothing(".operation", "of the bootstrap only MERGE is possible, so nothing is patched; use it")
	case to == api.EnvoyFilter_EXTENSION_CONFIG && op != api.EnvoyFilter_Patch_ADD:
		nothing(".operation", "of an extension configuration only ADD is possible, so nothing is patched; use it")
	}
	if p.GetPatch().GetFilterClass() != api.EnvoyFilter_Patch_UNSPECIFIED && op != api.EnvoyFilter_Patch_ADD {
		r.tell(field+".filterClass", noEffect, "it says where ADD puts a filter; use ADD, or remove it")
	}
	return does
}

// json of a message, always the same for the same; nil for none.
func (r *reader) json(field string, m proto.Message) []byte {
	if m == nil || !m.ProtoReflect().IsValid() {
		return nil
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		r.refuse(field, "it can't be written as JSON: %v; correct it", err)
		return nil
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil { // protobuf varies the space in it by build
		r.refuse(field, "it can't be written as JSON: %v; correct it", err)
		return nil
	}
	return out.Bytes()
}
