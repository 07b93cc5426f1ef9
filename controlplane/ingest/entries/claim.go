// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Claim is a port of a workload that a service sends to.
type Claim struct {
	// Workload is a name in By's namespace: of a WorkloadEntry when Machine is
	// true, else of a pod.
	Workload string
	Machine  bool
	model.InboundPort
	// By is the object that sends there, Field its port.
	By    model.Origin
	Field string
}

// Inbound decides which service's port each port of one workload belongs to:
// the oldest one's. The others get a Problem where they mean another protocol.
func Inbound(claims []Claim) ([]model.InboundPort, []model.Problem) {
	slices.SortFunc(claims, func(a, b Claim) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), a.By.Older(b.By), cmp.Compare(a.ServicePort, b.ServicePort),
			cmp.Compare(a.Service, b.Service))
	})
	var ports []model.InboundPort
	var problems []model.Problem
	var winner model.Origin
	for _, c := range claims {
		if len(ports) == 0 || ports[len(ports)-1].Port != c.Port {
			ports = append(ports, c.InboundPort)
			winner = c.By
			continue
		}
		if have := ports[len(ports)-1]; have.Protocol != c.Protocol {
			problems = append(problems, c.By.Problem(c.Field, conflict, fmt.Sprintf(
				"port %d of its pods is %s here and %s in port %d of %s %s/%s, which is older and wins; give both the same protocol",
				c.Port, c.Protocol, have.Protocol, have.ServicePort, winner.Kind, winner.Namespace, winner.Name)))
		}
	}
	return ports, problems
}

func compareClaims(a, b Claim) int {
	return cmp.Or(cmp.Compare(a.By.Namespace, b.By.Namespace), cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Port, b.Port),
		a.By.Older(b.By), cmp.Compare(a.ServicePort, b.ServicePort), cmp.Compare(a.Service, b.Service))
}
