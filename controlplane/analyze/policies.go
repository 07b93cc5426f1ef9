// SPDX-License-Identifier: Apache-2.0

package analyze

import (
	"fmt"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// policies must be of a host that there is, with subsets that choose something.
func (a *analysis) policies() {
	for _, p := range a.mesh.Policies {
		if p.Kind != "DestinationRule" || strings.HasPrefix(p.Host, "*") {
			continue
		}
		s, visible, ok := a.find(p.Host, p.Namespace)
		switch {
		case !ok:
			a.tell(p.Origin, "spec.host", HostNotFound, "no service is called %q, so nothing is changed; correct the name%s", p.Host, a.similar(p.Host))
			continue
		case !visible:
			a.tell(p.Origin, "spec.host", HostNotFound, "%q is not exported to namespace %q, so nothing is changed; add it to the exportTo of the service", p.Host, p.Namespace)
			continue
		}
		for i := range p.Policy.Ports {
			port := p.Policy.Ports[i].Port
			if !hasPort(s.Service, port) {
				a.tell(p.Origin, fmt.Sprintf("spec.trafficPolicy.portLevelSettings[%d]", port), PortNotFound, "%q has no port %d; it has %s", p.Host, port, ports(s.Service))
			}
		}
		for i := range p.Subsets {
			a.subset(p, &p.Subsets[i], s)
		}
	}
}

func hasPort(s *model.Service, number uint16) bool {
	for _, p := range s.Ports {
		if p.Number == number {
			return true
		}
	}
	return false
}

// subset must choose an endpoint. A service without any is scaled down, which is no mistake.
func (a *analysis) subset(p *model.DestinationPolicy, subset *model.Subset, s model.ServiceState) {
	there := false
	for _, set := range s.Endpoints {
		for i := range set.Endpoints {
			e := &set.Endpoints[i]
			if e.In(subset.Labels) {
				return
			}
			// Of another member's the labels may not be known.
			there = there || e.Labels != "" || e.Workload != ""
		}
		for _, b := range set.Beyond {
			if b.Labels == subset.Labels && len(b.Endpoints) > 0 {
				return
			}
		}
	}
	if there {
		a.tell(p.Origin, "spec.subsets["+subset.Name+"]", SelectsNothing, "no endpoint of %q has the labels %q; correct them", p.Host, subset.Labels)
	}
}

// selectors must choose a workload. Without any workloads nothing is known of them.
func (a *analysis) selectors() {
	if len(a.mesh.Workloads) == 0 {
		return
	}
	for _, g := range a.mesh.Gateways {
		if g.Kind == "Gateway" && !g.API && !a.selects(g.Selector, g.SelectorNamespace) {
			a.tell(g.Origin, "spec.selector", SelectsNothing, "no workload has the labels %q, so nobody listens; correct them, or deploy a gateway that has them", g.Selector)
		}
	}
	for _, s := range a.mesh.Scopes {
		if s.Selector != "" && !a.selects(s.Selector, s.Namespace) {
			a.tell(s.Origin, "spec.workloadSelector", SelectsNothing, "no workload of this namespace has the labels %q; correct them", s.Selector)
		}
	}
}

func (a *analysis) selects(selector model.Labels, namespace string) bool {
	for _, w := range a.mesh.Workloads {
		if (namespace == "" || w.Namespace == namespace) && selector.Select(w.Labels) {
			return true
		}
	}
	return false
}
