// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// addressed are the namespaces with a service that is the parent of a route.
// Such a route holds for who calls the service's address, whatever host the
// request names (Gateway API for meshes). A request to another service that
// names its host must not follow it, so all services of the namespace are told
// by their addresses. Elsewhere the host alone decides, as in Istio. The values
// are the namespaces of the callers for whom it is so; "" is everybody's.
func addressed(mesh *model.Mesh) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, r := range mesh.Routings {
		if !r.BySpecificity || !slices.Contains(r.Gateways, model.Sidecars) {
			continue
		}
		for _, h := range r.Hosts {
			st, ok := mesh.Service(model.Hostname(h))
			if !ok {
				continue
			}
			callers := out[st.Service.Namespace]
			if callers == nil {
				callers = map[string]bool{}
				out[st.Service.Namespace] = callers
			}
			callers[r.ConsumerNamespace] = true
		}
	}
	return out
}

// byAddress is true when callers of a class mean a service whose address they call.
func (s *Snapshot) byAddress(c *class, svc *model.Service) bool {
	callers := s.addressed[svc.Namespace]
	return svc.Kind == model.ClusterIP && !svc.External && (callers[""] || c.caller.Namespace != "" && callers[c.caller.Namespace])
}
