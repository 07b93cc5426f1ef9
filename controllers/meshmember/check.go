// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"maps"
	"reflect"
	"slices"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/remote"
)

// anyMember stands for all members where a federation is judged before it has
// one: what a chart refuses doesn't depend on which member it is.
var anyMember = place{member: "member", meshID: "mesh", network: "member", trustDomain: "member.example"}

// ChartProblem is why a chart can't be rendered for the members of a federation.
type ChartProblem struct {
	// Field of the MeshFederation.
	Field string
	Problem
	// ByValues is true when it can be without the values of the field.
	ByValues bool
}

// CheckCharts renders what a federation's members would get, as their reconcile
// does, and tells what is wrong with it, per chart.
func CheckCharts(federation *v1alpha1.MeshFederation) []ChartProblem {
	out := chartProblems(federation)
	if len(out) == 0 {
		return nil
	}
	bare := federation.DeepCopy()
	bare.Spec.ControlPlane.Values, bare.Spec.EastWestGateway.Values = nil, nil
	anyway := chartProblems(bare)
	for i := range out {
		out[i].ByValues = !slices.ContainsFunc(anyway, func(p ChartProblem) bool { return p.Field == out[i].Field })
	}
	return out
}

func chartProblems(federation *v1alpha1.MeshFederation) []ChartProblem {
	var out []ChartProblem
	got := render(anyMember, Images{Hub: "isthmesh", Tag: "dev"}, federation, remote.OldestKubernetes)
	if got.controlPlane != nil {
		out = append(out, ChartProblem{Field: "spec.controlPlane.values", Problem: *got.controlPlane})
	}
	if got.gateway != nil {
		out = append(out, ChartProblem{Field: "spec.eastWestGateway.values", Problem: *got.gateway})
	}
	return out
}

// Overruled names, as "spec.controlPlane.values.global.network", the values of a
// federation that are never used, because each member's own stand in their place.
func Overruled(federation *v1alpha1.MeshFederation) []string {
	var out []string
	for _, c := range []struct {
		field string
		asked func() (object, error)
		fixed object
	}{
		{"spec.controlPlane.values", func() (object, error) { return askedValues(federation.Spec.ControlPlane.Values) }, controlPlaneFixed(anyMember)},
		{"spec.eastWestGateway.values", func() (object, error) { return askedValues(federation.Spec.EastWestGateway.Values) }, gatewayFixed(anyMember, federation.Spec.EastWestGateway)},
	} {
		if asked, err := c.asked(); err == nil { // CheckCharts tells of the other case
			out = append(out, overruled(c.field, asked, c.fixed)...)
		}
	}
	return out
}

func overruled(path string, asked, fixed object) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		value, isFixed := fixed[name]
		if !isFixed || reflect.DeepEqual(asked[name], value) {
			continue
		}
		below, isObject := asked[name].(object)
		fixedBelow, fixedObject := value.(object)
		if isObject && fixedObject {
			out = append(out, overruled(path+"."+name, below, fixedBelow)...)
		} else {
			out = append(out, path+"."+name)
		}
	}
	return out
}
