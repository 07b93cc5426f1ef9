// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	security "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/target"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

type fault struct {
	field, message string
	unused         bool
}

func TestRead(t *testing.T) {
	const gateways = "gateway.networking.k8s.io"
	ref := func(group, kind, name, namespace string) *typeapi.PolicyTargetReference {
		return &typeapi.PolicyTargetReference{Group: group, Kind: kind, Name: name, Namespace: namespace}
	}
	web := map[string]string{"app": "web"}
	for name, test := range map[string]struct {
		labels    map[string]string
		one       *typeapi.PolicyTargetReference
		refs      []*typeapi.PolicyTargetReference
		namespace string
		want      model.Target
		faults    []fault
	}{
		"All":    {},
		"Labels": {labels: map[string]string{"b": "2", "a": "1"}, want: model.Target{Selector: "a=1,b=2"}},
		"Wildcards": {
			labels: map[string]string{"c": "*", "a": "1", "b": "2*"}, want: model.Target{Selector: "*=*"},
			faults: []fault{{field: "spec.selector.matchLabels", message: `label "b=2*" can't be on a pod, so the plugin selects none; a selector has whole labels and no wildcards`}},
		},
		"NoKey": {
			labels: map[string]string{"": "1"}, want: model.Target{Selector: "*=*"},
			faults: []fault{{field: "spec.selector.matchLabels", message: `label "=1" can't be on a pod, so the plugin selects none; a selector has whole labels and no wildcards`}},
		},
		"Gateways": {
			one: ref(gateways, "Gateway", "a", ""), refs: []*typeapi.PolicyTargetReference{ref(gateways, "Gateway", "b", "shop")},
			want: model.Target{Refs: []model.TargetRef{{Group: gateways, Kind: "Gateway", Name: "a"}, {Group: gateways, Kind: "Gateway", Name: "b"}}},
		},
		"Both": {
			labels: web, one: ref(gateways, "Gateway", "a", ""),
			want:   model.Target{Selector: "app=web", Refs: []model.TargetRef{{Group: gateways, Kind: "Gateway", Name: "a"}}},
			faults: []fault{{field: "spec.targetRefs", message: "selector and targetRefs exclude each other; remove one of them"}},
		},
		"ClassOfRoot": {
			namespace: "istio-system", one: ref(gateways, "GatewayClass", "istio", ""),
			want: model.Target{Refs: []model.TargetRef{{Group: gateways, Kind: "GatewayClass", Name: "istio"}}},
		},
		"ClassElsewhere": {
			one: ref(gateways, "GatewayClass", "istio", ""), want: model.Target{Refs: []model.TargetRef{{Group: gateways, Kind: "GatewayClass", Name: "istio"}}},
			faults: []fault{{field: "spec.targetRefs[0]", message: `a plugin for a GatewayClass must be in the root namespace; move it to "istio-system"`}},
		},
		"Waypoint": {
			one: ref("core", "Service", "web", ""), want: model.Target{Refs: []model.TargetRef{{Kind: "Service", Name: "web"}}},
			faults: []fault{{field: "spec.targetRefs[0]", unused: true, message: "plugins for a Service apply at waypoints, which there are none of, so this one is not in force; select the workloads with spec.selector instead"}},
		},
		"OtherNamespaceAndNoName": {
			refs: []*typeapi.PolicyTargetReference{ref(gateways, "Gateway", "a", ""), ref(gateways, "Gateway", "", "other")},
			want: model.Target{Refs: []model.TargetRef{{Group: gateways, Kind: "Gateway", Name: "a"}, {Group: gateways, Kind: "Gateway"}}},
			faults: []fault{
				{field: "spec.targetRefs[1].namespace", message: `a plugin targets objects of its own namespace; put it into namespace "other"`},
				{field: "spec.targetRefs[1].name", message: "no object is named; give its name"},
			},
		},
		"OtherKind": {
			one: ref("apps", strings.Repeat("D", 101), "a", ""), want: model.Target{Refs: []model.TargetRef{{Group: "apps", Kind: strings.Repeat("D", 101), Name: "a"}}},
			faults: []fault{{field: "spec.targetRefs[0]", message: `plugins don't apply to "` + strings.Repeat("D", 100) + `" of group "apps"; use Gateway or GatewayClass of gateway.networking.k8s.io`}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.namespace == "" {
				test.namespace = "shop"
			}
			var faults []fault
			of := target.Owner{
				Noun: "plugin", Plural: "plugins", Namespace: test.namespace, RootNamespace: "istio-system",
				Refuse: func(field, format string, args ...any) {
					faults = append(faults, fault{field: field, message: fmt.Sprintf(format, args...)})
				},
				Unused: func(field, format string, args ...any) {
					faults = append(faults, fault{field: field, message: fmt.Sprintf(format, args...), unused: true})
				},
			}
			got := of.Read(&security.AuthorizationPolicy{Selector: &typeapi.WorkloadSelector{MatchLabels: test.labels}, TargetRef: test.one, TargetRefs: test.refs})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.faults, faults, cmp.AllowUnexported(fault{})); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
