// SPDX-License-Identifier: Apache-2.0

package informers

import (
	"testing"

	metaapi "istio.io/api/meta/v1alpha1"
	networkingapi "istio.io/api/networking/v1alpha3"
	extensions "istio.io/client-go/pkg/apis/extensions/v1alpha1"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	networkingalpha "istio.io/client-go/pkg/apis/networking/v1alpha3"
	networkingbeta "istio.io/client-go/pkg/apis/networking/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"
	telemetry "istio.io/client-go/pkg/apis/telemetry/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// A machine that falls ill has the same generation: only its status says so.
func TestHealthOfWorkloadEntryIsAChange(t *testing.T) {
	entry := func(healthy string) *networking.WorkloadEntry {
		o := &networking.WorkloadEntry{ObjectMeta: metav1.ObjectMeta{Name: "vm", Namespace: "shop", UID: "1", Generation: 3}}
		o.Status.Conditions = []*metaapi.IstioCondition{{Type: "Healthy", Status: healthy}}
		return o
	}
	if sameContent(entry("True"), entry("False")) {
		t.Error("a change of health is taken for none")
	}
	if !sameContent(entry("True"), entry("True")) {
		t.Error("the same health is taken for a change")
	}
}

// Objects that nobody counts the generations of are compared by what they hold,
// also those whose spec is a protobuf message.
func TestContentWithoutGeneration(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"Service": uncounted(func(o *corev1.Service) { o.Spec.ClusterIP = "10.0.0.1" }),
		"VirtualService": uncounted(func(o *networking.VirtualService) {
			o.Spec.Http = []*networkingapi.HTTPRoute{{Name: "a"}}
		}),
		"WorkloadEntry": uncounted(func(o *networking.WorkloadEntry) { o.Spec.Address = "10.0.0.1" }),
		"Health": uncounted(func(o *networking.WorkloadEntry) {
			o.Status.Conditions = []*metaapi.IstioCondition{{Type: "Healthy", Status: "False"}}
		}),
		"ProxyConfig":         uncounted(func(o *networkingbeta.ProxyConfig) { o.Spec.EnvironmentVariables = map[string]string{"A": "b"} }),
		"EnvoyFilter":         uncounted(func(o *networkingalpha.EnvoyFilter) { o.Spec.Priority = 1 }),
		"AuthorizationPolicy": uncounted(func(o *security.AuthorizationPolicy) { o.Spec.Action = 1 }),
		"WasmPlugin":          uncounted(func(o *extensions.WasmPlugin) { o.Spec.Url = "a" }),
		"Telemetry":           uncounted(func(o *telemetry.Telemetry) { o.Annotations = map[string]string{"a": "b"} }),
		"HTTPRoute":           uncounted(func(o *gatewayv1.HTTPRoute) { o.Spec.Hostnames = []gatewayv1.Hostname{"a"} }),
	} {
		t.Run(name, test)
	}
}

// uncounted compares two objects of one kind before and after a change of one.
func uncounted[O any, T interface {
	*O
	object
}](change func(T),
) func(*testing.T) {
	return func(t *testing.T) {
		made := func(version string) T {
			o := T(new(O))
			o.SetName("a")
			o.SetResourceVersion(version)
			return o
		}
		a, b, changed := made("1"), made("2"), made("3")
		change(changed)
		also := changed.DeepCopyObject().(T)
		also.SetResourceVersion("4")
		if !sameContent(a, b) || !sameContent(changed, also) {
			t.Error("another version is taken for a change")
		}
		if sameContent(a, changed) || sameContent(changed, a) {
			t.Error("a change is taken for none")
		}
		if a.GetResourceVersion() != "1" || b.GetResourceVersion() != "2" {
			t.Error("comparing changes objects")
		}
	}
}
