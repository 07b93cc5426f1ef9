// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// meshParent is what a route has as its parent in the mesh (GAMMA).
type meshParent struct {
	name
	hosts []string
	// port of it; 0 for all.
	port uint16
}

// numbered is a port with a name.
type numbered struct {
	name   string
	number uint32
}

// meshParent that a reference of a route means, or why it can't be its parent.
func (p *parents) meshParent(r *route, ref gateway.ParentReference, kind string) (meshParent, fault) {
	to := meshParent{name: parentName(r, ref)}
	var ports []numbered
	switch s, e := p.services[to.name], p.entries[to.name]; {
	case kind == kindService && s != nil:
		if s.Spec.Type == corev1.ServiceTypeExternalName {
			return to, faultf(gateway.RouteReasonNoMatchingParent, "Service %s is of type ExternalName: routes hold for Services with endpoints.", to.name)
		}
		to.hosts = []string{p.host(to.name)}
		for _, port := range s.Spec.Ports {
			ports = append(ports, numbered{port.Name, uint32(port.Port)})
		}
	case kind == kindEntry && e != nil:
		for _, h := range e.Spec.GetHosts() {
			to.hosts = append(to.hosts, strings.ToLower(h))
		}
		slices.Sort(to.hosts)
		to.hosts = slices.Compact(to.hosts)
		for _, port := range e.Spec.GetPorts() {
			ports = append(ports, numbered{port.GetName(), port.GetNumber()})
		}
	default:
		return to, faultf(gateway.RouteReasonNoMatchingParent, "There is no %s %s.", kind, to.name)
	}
	var ok bool
	if to.port, ok = portOf(ports, ref); !ok {
		return to, faultf(gateway.RouteReasonNoMatchingParent, "%s %s has no port of that sectionName and number.", kind, to.name)
	}
	return to, fault{}
}

func parentName(r *route, ref gateway.ParentReference) name {
	return name{string(deref(ref.Namespace, gateway.Namespace(r.of.Namespace))), string(ref.Name)}
}

// portOf is the port that a parent reference means; 0 for all.
func portOf(ports []numbered, ref gateway.ParentReference) (uint16, bool) {
	section := string(deref(ref.SectionName, ""))
	if ref.Port == nil && section == "" {
		return 0, true
	}
	i := slices.IndexFunc(ports, func(p numbered) bool {
		return (ref.Port == nil || uint32(max(*ref.Port, 0)) == p.number) && (section == "" || section == p.name)
	})
	if i < 0 || ports[i].number > math.MaxUint16 {
		return 0, false
	}
	return uint16(ports[i].number), true
}

// bindMesh makes the routing of a route whose parent is a service. What
// hostnames the route has doesn't matter there. In another namespace than the
// service's it holds for its own namespace's callers only.
func (p *parents) bindMesh(r *route, to meshParent, b *body) {
	g := r.routing(b, to.hosts)
	g.Gateways = []model.GatewayRef{model.Sidecars}
	g.ParentPort = to.port
	if to.namespace != r.of.Namespace {
		g.ConsumerNamespace = r.of.Namespace
		g.Visible = model.Visibility{Limited: true, Namespaces: []string{r.of.Namespace}}
	}
	p.routings = append(p.routings, g)
}

// host is a service's full name.
func (x *index) host(n name) string {
	return n.name + "." + n.namespace + ".svc." + x.in.Settings.DomainSuffix
}
