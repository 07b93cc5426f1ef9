// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

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

// claim is a target and the Service that it comes from.
type claim struct {
	target
	by *corev1.Service
}

// inbound decides which service's port each port of a pod belongs to: the
// oldest one's. The others get a Problem where they mean another protocol.
func inbound(claims []claim) ([]model.InboundPort, []model.Problem) {
	slices.SortFunc(claims, func(a, b claim) int {
		if c := cmp.Compare(a.Port, b.Port); c != 0 {
			return c
		}
		return cmp.Or(compareAge(a.by, b.by), cmp.Compare(a.ServicePort, b.ServicePort))
	})
	var ports []model.InboundPort
	var problems []model.Problem
	var winner *corev1.Service
	for _, c := range claims {
		if len(ports) == 0 || ports[len(ports)-1].Port != c.Port {
			ports = append(ports, c.InboundPort)
			winner = c.by
			continue
		}
		if have := ports[len(ports)-1]; have.Protocol != c.Protocol {
			problems = append(problems, problem(kindService, c.by, fmt.Sprintf("spec.ports[%d]", portIndex(c.by, c.ServicePort)), Conflict,
				"port %d of its pods is %s here and %s in port %d of Service %q, which is older and wins; give both the same protocol",
				c.Port, c.Protocol, have.Protocol, have.ServicePort, winner.Name))
		}
	}
	return ports, problems
}

func portIndex(o *corev1.Service, number uint16) int {
	return slices.IndexFunc(o.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == int32(number) })
}

// withInbound returns the row with the workload that the claims give; row
// itself when that says the same.
func (r *podRow) withInbound(claims []claim) *podRow {
	if !r.facts.inMesh() {
		if r.workload == nil && len(r.problems) == 0 {
			return r
		}
		return &podRow{pod: r.pod, facts: r.facts}
	}
	w := r.facts.workload
	next := &podRow{pod: r.pod, facts: r.facts, workload: &w}
	w.Inbound, next.problems = inbound(claims)
	if r.workload != nil && reflect.DeepEqual(r.workload, next.workload) {
		next.workload = r.workload
	}
	if next.workload == r.workload && slices.Equal(next.problems, r.problems) {
		return r
	}
	return next
}
