// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// host is what follows for one class from routings on a host that is no service
// by itself: any name, one that a service's wildcard takes in, or an
// ExternalName service.
type host struct {
	in hostInputs
	// parts and chains by port.
	parts    map[uint16]map[string]*part
	chains   map[uint16]*chains
	problems []model.Problem
}

type hostInputs struct {
	host string
	// more hosts that share its virtual host; sorted.
	more []string
	// svc is the ExternalName service, or the one with the wildcard; or nil.
	svc *model.Service
	// ports that the host is called on: those of svc or of what it points at.
	ports *model.Service
	routed
}

func (a hostInputs) equal(b hostInputs) bool {
	return a.host == b.host && a.svc == b.svc && a.ports == b.ports && slices.Equal(a.more, b.more) && a.routed.equal(b.routed)
}

// anyHostPort is where a host is called that no service has. Istio has it so.
const anyHostPort = 80

// hostsOf a class.
func (s *Snapshot) hostsOf(c, earlier *class) {
	if earlier.basis == c.basis {
		c.hosts = earlier.hosts
		return
	}
	before := make(map[string]*host, len(earlier.hosts))
	for _, h := range earlier.hosts {
		before[h.in.host] = h
	}
	for _, in := range s.inputsOfHosts(c) {
		if old := before[in.host]; old != nil && old.in.equal(in) {
			c.hosts = append(c.hosts, old)
			continue
		}
		shared := s.commonHost(c, in.host)
		if shared != nil && shared.in.equal(in) {
			c.hosts = append(c.hosts, shared)
			continue
		}
		c.hosts = append(c.hosts, s.host(c, in))
	}
}

// inputsOfHosts of a class, sorted by host. Of many that no service has and that
// are routed alike one stands for all (envoy.Crowd).
func (s *Snapshot) inputsOfHosts(c *class) []hostInputs {
	all := make([]hostInputs, 0, len(c.names.routed))
	alike := map[*model.Routing]int{}
	for _, name := range c.names.routed {
		in := hostInputs{host: name, routed: s.routed(c, s.scope.Governing(c.caller, model.Hostname(name)))}
		if st, ok := s.scope.Service(c.caller, model.Hostname(name)); ok {
			in.svc, in.ports = st.Service, st.Service
			if to := c.names.to[st.Service]; to != nil {
				in.ports = to
			}
		}
		if in.crowds() {
			alike[in.routings[0]]++
		}
		all = append(all, in)
	}
	out := all[:0]
	first := map[*model.Routing]int{}
	for _, in := range all {
		if in.crowds() && alike[in.routings[0]] > envoy.Crowd {
			i, there := first[in.routings[0]]
			if there && slices.Equal(out[i].routings, in.routings) {
				out[i].more = append(out[i].more, in.host)
				continue
			}
			if !there {
				first[in.routings[0]] = len(out)
			}
		}
		out = append(out, in)
	}
	return out
}

// crowds is true for a host that may share a virtual host with others.
func (a hostInputs) crowds() bool { return a.svc == nil && a.host != "*" && len(a.routings) > 0 }

func (s *Snapshot) commonHost(c *class, name string) *host {
	if c == s.common {
		return nil
	}
	i, ok := slices.BinarySearchFunc(s.common.hosts, name, func(h *host, name string) int { return strings.Compare(h.in.host, name) })
	if !ok {
		return nil
	}
	return s.common.hosts[i]
}

func (s *Snapshot) host(c *class, in hostInputs) *host {
	out := &host{in: in, parts: map[uint16]map[string]*part{}, chains: map[uint16]*chains{}}
	ports := []model.Port{{Number: anyHostPort, Protocol: model.HTTP}}
	if in.ports != nil {
		ports = in.ports.Ports
	}
	call := sidecar.Call{
		Settings: s.mesh.Settings, Routings: in.routings, Namespace: in.namespace, Labels: in.labels, Cluster: s.clusterOf(c),
	}
	for _, p := range ports {
		if in.ports != nil && !p.Protocol.IsHTTP() && p.Protocol != model.Auto {
			of, problems := call.HostChains(p.Number)
			out.problems = append(out.problems, problems...)
			if len(of) > 0 {
				out.chains[p.Number] = &chains{of: of, origin: in.routings[0].Origin}
			}
			continue
		}
		if in.ports != nil && !sidecar.SharesPort(in.ports, p) {
			continue
		}
		routes, problems := call.Routes(p.Number)
		out.problems = append(out.problems, problems...)
		if len(routes) == 0 {
			continue
		}
		namespaces := []string{""}
		if in.svc != nil && in.svc.Kind == model.ExternalName {
			namespaces = append(namespaces, in.svc.Namespace)
		}
		parts := map[string]*part{}
		for _, ns := range namespaces {
			domains := append([]string{in.host}, in.more...)
			if in.svc != nil && in.svc.Kind == model.ExternalName {
				domains = slices.DeleteFunc(sidecar.Domains(s.mesh.Settings, in.svc, nil, ns), func(d string) bool { return c.names.without[in.svc][d] })
			}
			b, err := sidecar.HostRoutes(in.host, p.Number, domains, routes)
			if err != nil {
				out.problems = append(out.problems, in.routings[0].Problem("", "NotTranslated", err.Error()))
				continue
			}
			parts[ns] = &part{encoded: b, all: in.host == "*", lookup: in.lookup()}
		}
		out.parts[p.Number] = parts
	}
	return out
}
