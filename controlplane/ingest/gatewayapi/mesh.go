// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// meshFault is why a route can't have a service as its parent (GAMMA).
func (p *parents) meshFault(r *route, ref gateway.ParentReference) fault {
	n := parentName(r, ref)
	s := p.services[n]
	if s == nil {
		return faultf(gateway.RouteReasonNoMatchingParent, "There is no Service %s.", n)
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return faultf(gateway.RouteReasonNoMatchingParent, "Service %s is of type ExternalName: routes hold for Services with endpoints.", n)
	}
	if _, ok := portOf(s, ref); !ok {
		return faultf(gateway.RouteReasonNoMatchingParent, "Service %s has no port of that sectionName and number.", n)
	}
	return fault{}
}

func parentName(r *route, ref gateway.ParentReference) name {
	return name{string(deref(ref.Namespace, gateway.Namespace(r.of.Namespace))), string(ref.Name)}
}

// portOf is the port that a parent reference means; 0 for all.
func portOf(s *corev1.Service, ref gateway.ParentReference) (uint16, bool) {
	section := string(deref(ref.SectionName, ""))
	if ref.Port == nil && section == "" {
		return 0, true
	}
	i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool {
		return (ref.Port == nil || *ref.Port == p.Port) && (section == "" || section == p.Name)
	})
	if i < 0 {
		return 0, false
	}
	return uint16(s.Spec.Ports[i].Port), true
}

// bindService makes the routing of a route whose parent is a service. What
// hostnames the route has doesn't matter there. In another namespace than the
// service's it holds for its own namespace's callers only.
func (p *parents) bindService(r *route, ref gateway.ParentReference, b *body) {
	n := parentName(r, ref)
	g := r.routing(b, []string{p.host(n)})
	g.Gateways = []model.GatewayRef{model.Sidecars}
	g.ParentPort, _ = portOf(p.services[n], ref)
	if n.namespace != r.of.Namespace {
		g.ConsumerNamespace = r.of.Namespace
		g.Visible = model.Visibility{Limited: true, Namespaces: []string{r.of.Namespace}}
	}
	p.routings = append(p.routings, g)
}

// host is a service's full name.
func (x *index) host(n name) string {
	return n.name + "." + n.namespace + ".svc." + x.in.Settings.DomainSuffix
}
