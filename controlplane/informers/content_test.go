// SPDX-License-Identifier: Apache-2.0

package informers

import (
	"testing"

	metaapi "istio.io/api/meta/v1alpha1"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
