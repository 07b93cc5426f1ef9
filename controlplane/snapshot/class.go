// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"maps"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// class is what the sidecars see to which the same configuration applies. What
// it has in common with everybody is everybody's, by pointer.
type class struct {
	key    scope.Class
	caller scope.Caller
	scope  *model.Scope
	basis  scope.Basis
	ipv6   bool
	// settings with what the Scope says.
	settings *model.Settings

	services []model.ServiceState
	names    *names
	// entries of the services.
	entries []*service
	// common is where each entry is among everybody's, or -1.
	common []int
	hosts  []*host
	ports  []port
	// bound listeners of the Scope, and their routes.
	bound, boundRoutes []*envoy.Resource
	// problems of the Scope.
	scopeProblems []model.Problem

	clusters, listeners, routes, endpoints layer
	// table of names.
	table   layer
	secrets secrets
}

// classOf a sidecar.
func (s *Snapshot) classOf(p *model.Proxy) *class { return s.classAt(s.classFor(p)) }

// classFor a sidecar, and the caller that stands for all of that class.
func (s *Snapshot) classFor(p *model.Proxy) (scope.Class, scope.Caller) {
	c := scope.Caller{Namespace: p.Namespace}
	if s.scope.AsksLabels() {
		c.Labels = labelsOf(p, s.scope.AsksNode())
	}
	return s.scope.Class(c)
}

// classAt is made on first use.
func (s *Snapshot) classAt(key scope.Class, caller scope.Caller) *class {
	if key == (scope.Class{}) {
		return s.common
	}
	return s.classes.class(key).get(func(earlier *class) *class {
		if earlier == nil {
			earlier = &class{}
		}
		return s.class(key, caller, earlier)
	})
}

// labelsOf a sidecar's pod, with its node's name where that matters.
func labelsOf(p *model.Proxy, node bool) model.Labels {
	if p.Workload != nil {
		labels := p.Workload.Labels
		if node && p.Workload.Node != "" {
			if labels = maps.Clone(labels); labels == nil {
				labels = map[string]string{}
			}
			labels[model.NodeLabel] = p.Workload.Node
		}
		return model.LabelsOf(labels)
	}
	return model.LabelsOf(p.Labels)
}

// class of callers, as it follows from what it was before.
func (s *Snapshot) class(key scope.Class, caller scope.Caller, earlier *class) *class {
	c := &class{key: key, caller: caller, scope: s.scope.ScopeOf(caller), basis: s.scope.Basis(), ipv6: s.ipv6}
	if s.common == nil {
		s.common = c
	}
	if earlier.ipv6 != c.ipv6 {
		// Every listener that several services share gets another address.
		before := *earlier
		before.basis, before.ports, before.listeners = scope.Basis{}, nil, layer{}
		earlier = &before
	}
	c.settings = s.settingsOf(c.scope, earlier)
	if c.settings != earlier.settings {
		before := *earlier
		before.basis, before.ports, before.listeners = scope.Basis{}, nil, layer{}
		earlier = &before
	}
	c.services = s.scope.Services(caller)
	c.names = s.namesOf(c, earlier)
	s.entriesOf(c, earlier)
	s.hostsOf(c, earlier)
	if !c.onlyEndpoints(earlier) {
		s.portsOf(c, earlier)
		s.layersOf(c, earlier, s.boundOf(c, earlier))
	} else {
		c.bound, c.boundRoutes, c.scopeProblems = earlier.bound, earlier.boundRoutes, earlier.scopeProblems
		c.ports, c.clusters, c.listeners, c.routes = earlier.ports, earlier.clusters, earlier.listeners, earlier.routes
	}
	s.endpointLayer(c, earlier)
	s.tableOf(c, earlier)
	s.secretsOf(c, earlier)
	return c
}

// settingsOf a Scope's callers.
func (s *Snapshot) settingsOf(of *model.Scope, earlier *class) *model.Settings {
	mesh := s.mesh.Settings
	if of == nil || of.RegistryOnly == nil || *of.RegistryOnly == mesh.OutboundRegistryOnly && !mesh.OutboundByName && of.Proxy == nil {
		return mesh
	}
	out := *mesh
	out.OutboundRegistryOnly, out.OutboundByName = *of.RegistryOnly, false
	if to := of.Proxy; to != nil && !*of.RegistryOnly {
		out.OutboundProxy = envoy.OutboundSubset(to.Port, to.Subset, to.Host)
	}
	if earlier.settings != nil && earlier.basis == s.scope.Basis() {
		return earlier.settings
	}
	return &out
}

func (s *Snapshot) namesOf(c, earlier *class) *names {
	switch {
	case earlier.basis == c.basis:
		return earlier.names
	case c != s.common && sameServices(c.services, s.common.services) && slices.Equal(s.scope.Hosts(c.caller), s.scope.Hosts(s.common.caller)):
		return s.common.names
	}
	return resolveNames(s.mesh.Settings, c.services, s.scope.Hosts(c.caller))
}

// onlyEndpoints is true when nothing but endpoints may differ from before.
func (c *class) onlyEndpoints(earlier *class) bool {
	if earlier.basis != c.basis {
		return false
	}
	return slices.EqualFunc(c.entries, earlier.entries, func(a, b *service) bool {
		if a == b {
			return true
		}
		return a.translation == b.translation && slices.EqualFunc(a.ports, b.ports, func(a, b *endpoints) bool {
			return a == b || slices.Equal(a.named, b.named) && slices.Equal(a.listeners, b.listeners)
		})
	})
}

// hidden ports of a service: a Scope's egress listener for a port goes before
// those for all ports.
func (c *class) hidden(svc *model.Service) uint64 {
	if c.scope == nil || c.scope.Egress == nil {
		return 0
	}
	var out uint64
	for i, p := range svc.Ports {
		seen, particular := false, false
		for _, e := range c.scope.Egress {
			if e.Port == p.Number {
				particular = true
				seen = seen || scope.Names(e.Hosts, svc, c.caller.Namespace) && !sidecar.IsBound(&e)
			}
		}
		if !particular || len(svc.Addresses) > 0 && !sidecar.SharesPort(svc, p) {
			// What is told by its own address takes nothing of the particular one's.
			for _, e := range c.scope.Egress {
				seen = seen || e.Port == 0 && scope.Names(e.Hosts, svc, c.caller.Namespace)
			}
		}
		if !seen {
			out |= 1 << min(i, 63)
		}
	}
	return out
}

// commonEntries by service, for a class that is not everybody.
func (s *Snapshot) commonEntries(c *class) map[*model.Service]*service {
	if c == s.common {
		return nil
	}
	s.indexCommon()
	out := make(map[*model.Service]*service, len(c.services))
	for _, st := range c.services {
		if i, ok := s.index.of[st.Service]; ok {
			out[st.Service] = s.common.entries[i]
		}
	}
	return out
}

func (s *Snapshot) indexCommon() {
	s.index.once.Do(func() {
		s.index.of = make(map[*model.Service]int, len(s.common.entries))
		for i, e := range s.common.entries {
			s.index.of[e.in.svc] = i
		}
	})
}

func (s *Snapshot) commonIndex(svc *model.Service) int {
	s.indexCommon()
	if i, ok := s.index.of[svc]; ok {
		return i
	}
	return -1
}

// found is what another class has made of the same inputs.
func (s *Snapshot) found(in serviceInputs) *translation {
	s.others.mu.Lock()
	defer s.others.mu.Unlock()
	for _, e := range s.others.of[in.svc] {
		if e.in.equal(in) {
			return e.translation
		}
	}
	return nil
}

func (s *Snapshot) remember(e *service) {
	s.others.mu.Lock()
	defer s.others.mu.Unlock()
	s.others.of[e.in.svc] = append(s.others.of[e.in.svc], e)
}
