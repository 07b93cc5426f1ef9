// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"fmt"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// idle tells of fields that change nothing with the entry's resolution or location.
func (e *entry) idle(r *report) {
	for _, p := range e.ports {
		if p.Target != 0 && e.resolution == model.ByHost {
			r.add(p.field+".targetPort", noEffect, "with resolution DYNAMIC_DNS calls go to the host that they name, on the port that they name; remove it")
		}
	}
	for i, p := range e.given.Spec.GetEndpoints() {
		if p.GetServiceAccount() != "" && e.external {
			r.add(fmt.Sprintf("spec.endpoints[%d].serviceAccount", i), noEffect,
				"no identity of the mesh is expected outside of it; use location MESH_INTERNAL, or subjectAltNames for a certificate of another kind")
		}
	}
}
