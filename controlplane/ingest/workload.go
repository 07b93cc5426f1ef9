// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/entries"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// target is a port of a pod that a service sends to.
type target struct {
	// pod is the name of a pod in the service's namespace.
	pod string
	model.InboundPort
}

func compareTargets(a, b target) int {
	return cmp.Or(strings.Compare(a.pod, b.pod), cmp.Compare(a.Port, b.Port), cmp.Compare(a.ServicePort, b.ServicePort))
}

// claimsIn are the claims on pods of a namespace; all are sorted by it.
func claimsIn(all []entries.Claim, namespace string) []entries.Claim {
	compare := func(c entries.Claim, ns string) int { return strings.Compare(c.By.Namespace, ns) }
	i, _ := slices.BinarySearchFunc(all, namespace, compare)
	rest := all[i:]
	n := slices.IndexFunc(rest, func(c entries.Claim) bool { return c.By.Namespace != namespace })
	if n < 0 {
		return rest
	}
	return rest[:n]
}

// portField names the port of a Service that has this number.
func portField(o *corev1.Service, number uint16) string {
	return fmt.Sprintf("spec.ports[%d]", portIndex(o, number))
}

func portIndex(o *corev1.Service, number uint16) int {
	return slices.IndexFunc(o.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == int32(number) })
}

// withInbound returns the row with the workload that the claims give; row
// itself when that says the same.
func (r *podRow) withInbound(claims []entries.Claim) *podRow {
	if !r.facts.inMesh() {
		if r.workload == nil && len(r.problems) == 0 {
			return r
		}
		return &podRow{pod: r.pod, facts: r.facts}
	}
	w := r.facts.workload
	next := &podRow{pod: r.pod, facts: r.facts, workload: &w}
	w.Inbound, next.problems = entries.Inbound(claims)
	if r.workload != nil && reflect.DeepEqual(r.workload, next.workload) {
		next.workload = r.workload
	}
	if next.workload == r.workload && slices.Equal(next.problems, r.problems) {
		return r
	}
	return next
}
