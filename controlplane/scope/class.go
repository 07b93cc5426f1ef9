// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Class is what of a sidecar makes a difference to what it sees. Sidecars of
// one class see the same; the zero value is those that no configuration names.
type Class struct {
	Namespace string
	// Scope by its namespace and name; empty for none.
	ScopeNamespace, ScopeName string
	// Labels that some configuration asks for.
	Labels model.Labels
	// Gateway: the callers are north-south gateways of Namespace, which show
	// ClientCertificate to backends.
	Gateway           bool
	ClientCertificate model.CredentialRef
}

// special is what some configuration asks for by name.
type special struct {
	// namespaces whose callers may see something else than others.
	namespaces map[string]bool
	// labels of callers, by their keys.
	labels map[string]bool
}

func (s special) of(namespace string) string {
	if s.namespaces[namespace] {
		return namespace
	}
	return ""
}

func findSpecial(mesh *model.Mesh, services *services) special {
	out := special{namespaces: map[string]bool{}, labels: map[string]bool{}}
	limited := func(v model.Visibility) {
		if v.Limited {
			for _, n := range v.Namespaces {
				out.namespaces[n] = true
			}
		}
	}
	asks := func(l model.Labels) {
		for k := range l.All() {
			out.labels[k] = true
		}
	}
	for _, st := range mesh.Services {
		limited(st.Service.Visible)
		if services.doubled[st.Service.Hostname] {
			out.namespaces[st.Service.Namespace] = true
		}
	}
	for _, p := range mesh.Policies {
		limited(p.Visible)
		asks(p.Selector)
		if p.Selector != "" || !ofItsNamespace(p, mesh, services) {
			out.namespaces[p.Namespace] = true
		}
		eachPort(p, func(q *model.PortPolicy) {
			if q.Balancer != nil {
				asksPriority(q.Balancer.Locality, out.labels)
			}
		})
	}
	asksPriority(mesh.Settings.LocalityBalancing, out.labels)
	for _, r := range mesh.Routings {
		if !r.BoundTo(model.Sidecars) {
			continue
		}
		limited(r.Visible)
		out.namespaces[r.ConsumerNamespace] = true
		for f := range From(r) {
			out.namespaces[f.Namespace] = true
			asks(f.Labels)
		}
	}
	delete(out.namespaces, "")
	return out
}

// ofItsNamespace is true when a policy is about services of its own namespace:
// then callers of that namespace find what all others find.
func ofItsNamespace(p *model.DestinationPolicy, mesh *model.Mesh, services *services) bool {
	if own := "." + p.Namespace + ".svc." + mesh.Settings.DomainSuffix; strings.HasPrefix(p.Host, "*") {
		return strings.HasSuffix(p.Host, own)
	}
	return slices.Equal(services.of[model.Hostname(p.Host)], []string{p.Namespace})
}

func eachPort(p *model.DestinationPolicy, do func(*model.PortPolicy)) {
	each := func(t *model.TrafficPolicy) {
		do(&t.PortPolicy)
		for i := range t.Ports {
			do(&t.Ports[i])
		}
	}
	each(&p.Policy)
	for i := range p.Subsets {
		each(&p.Subsets[i].Policy)
	}
}

// AsksLocality is true when a policy orders or weighs localities; where it finds
// endpoints ill, it does so by the mesh's settings.
func AsksLocality(p *model.DestinationPolicy) bool {
	out := false
	eachPort(p, func(q *model.PortPolicy) {
		out = out || q.Outliers != nil || q.Balancer != nil && q.Balancer.Locality != nil
	})
	return out
}

func asksPriority(l *model.LocalityBalancing, labels map[string]bool) {
	if l == nil {
		return
	}
	for _, k := range l.FailoverPriority {
		key, _, _ := strings.Cut(k, "=")
		labels[key] = true
	}
}

// Class of a sidecar, and the caller that stands for all of them.
func (x *Index) Class(c Caller) (Class, Caller) {
	scope := x.ScopeOf(c)
	k := Class{Namespace: x.special.of(c.Namespace)}
	if scope != nil {
		// A Scope is looked up by the caller's own namespace.
		k.Namespace, k.ScopeNamespace, k.ScopeName = c.Namespace, scope.Namespace, scope.Name
	}
	if len(x.special.labels) > 0 {
		k.Labels = x.reduced(c.Labels)
	}
	if c.Gateway {
		// What a gateway shows to backends is in its own namespace.
		k.Gateway, k.Namespace, k.ClientCertificate = true, c.Namespace, c.ClientCertificate
	}
	of := c
	of.Namespace = k.Namespace
	return k, of
}

// reduced labels: those that something asks for.
func (x *Index) reduced(l model.Labels) model.Labels {
	kept := map[string]string{}
	for key, v := range l.All() {
		if x.special.labels[key] {
			kept[key] = v
		}
	}
	return model.LabelsOf(kept)
}
