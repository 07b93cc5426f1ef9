// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"maps"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
	"github.com/isthmesh/isthmesh/gateways/eastwest"
)

// service is what follows from one service and its endpoints.
type service struct {
	in serviceInputs
	// clusters, listeners and routes of all its ports.
	clusters, listeners, routes []*envoy.Resource
	// hosts of each port that shares its port's routes, by the namespace of the
	// caller; "" is everybody else.
	hosts []map[string]*part
	// gateway clusters.
	gateway []*envoy.Resource
	// ports in the order of the service's.
	ports []*endpoints
}

// part of a route configuration.
type part struct{ encoded []byte }

// serviceInputs are what a service's translation depends on, but for endpoints.
type serviceInputs struct {
	svc    *model.Service
	others []*model.Service
	// without are domains that another service has.
	without map[string]bool
	// external: an ExternalName that nothing in the mesh answers to.
	external bool
	reach    []sidecar.Reach
	pods     [][]string
	// taken are domains of pods that a service has.
	taken map[string]bool
}

func (a serviceInputs) equal(b serviceInputs) bool {
	return a.svc == b.svc && a.external == b.external &&
		slices.Equal(a.others, b.others) &&
		maps.Equal(a.without, b.without) && maps.Equal(a.taken, b.taken) &&
		slices.Equal(a.reach, b.reach) &&
		slices.EqualFunc(a.pods, b.pods, slices.Equal)
}

// endpoints is what follows from who answers behind one port.
type endpoints struct {
	svc *model.Service
	set *model.EndpointSet
	// reach and pods are what the service must know of them.
	reach sidecar.Reach
	pods  []string
	// named are the names that some endpoints have instead of an address.
	named []named
	// anywhere is the same for all callers; nil when their locality matters.
	anywhere *envoy.Resource
	// listeners by the address of a pod.
	listeners []*envoy.Resource
	gateway   *envoy.Resource
}

// named is an endpoint that is looked up by the proxy.
type named struct {
	host string
	port uint16
}

// services translates what is new of the mesh's services.
func (s *Snapshot) services(prev *Snapshot) {
	before := make(map[model.Hostname]*service, len(prev.entries))
	for _, e := range prev.entries {
		before[e.in.svc.Hostname] = e
	}
	s.entries = make([]*service, len(s.mesh.Services))
	for i, st := range s.mesh.Services {
		old := before[st.Service.Hostname]
		if old == nil {
			old = &service{}
		}
		s.entries[i] = s.service(st, old)
	}
}

func (s *Snapshot) service(st model.ServiceState, old *service) *service {
	svc := st.Service
	in := serviceInputs{svc: svc, others: s.names.others[svc], without: s.names.without[svc], external: s.names.external[svc]}
	ports := make([]*endpoints, len(st.Endpoints))
	same := old.in.svc == svc
	for i, set := range st.Endpoints {
		var before *endpoints
		if i < len(old.ports) {
			before = old.ports[i]
		}
		ports[i] = s.endpoints(svc, i, set, before)
		same = same && ports[i] == before
		in.reach = append(in.reach, ports[i].reach)
		in.pods = append(in.pods, ports[i].pods)
	}
	in.taken = s.names.taken(s.mesh.Settings, svc, in.pods)
	if same && in.equal(old.in) {
		return old
	}
	out := &service{in: in, ports: ports}
	if in.equal(old.in) {
		out.clusters, out.listeners, out.routes = old.clusters, old.listeners, old.routes
		out.hosts, out.gateway = old.hosts, old.gateway
		return out
	}
	s.translate(out, old)
	return out
}

// translate a service anew. A resource that comes out as before stays.
func (s *Snapshot) translate(e, old *service) {
	settings, svc := s.mesh.Settings, e.in.svc
	before := make(map[string]*envoy.Resource)
	for _, list := range [][]*envoy.Resource{old.clusters, old.listeners, old.routes, old.gateway} {
		for _, r := range list {
			before[r.Name] = r
		}
	}
	add := func(to *[]*envoy.Resource, r *envoy.Resource, err error) {
		if s.report(svc, err) && r != nil {
			*to = append(*to, keep(before[r.Name], r))
		}
	}
	listeners, err := sidecar.AddressListeners(settings, svc)
	for _, l := range listeners {
		add(&e.listeners, l, nil)
	}
	s.report(svc, err)
	e.hosts = make([]map[string]*part, len(svc.Ports))
	for i, p := range svc.Ports {
		switch {
		case svc.Kind != model.ExternalName:
			r, err := sidecar.Cluster(settings, svc, i, e.in.reach[i])
			add(&e.clusters, r, err)
		case e.in.external && p.Protocol.IsHTTP():
			r, err := sidecar.External(settings, svc, i)
			add(&e.clusters, r, err)
		default:
			// It has no name of its own, or none that a connection tells.
			continue
		}
		if eastwest.Serves(svc) {
			r, err := eastwest.Cluster(settings, svc, i)
			add(&e.gateway, r, err)
		}
		switch {
		case sidecar.SharesPort(svc, p):
			e.hosts[i] = s.hosts(e.in, i)
		case len(svc.Addresses) > 0 && (p.Protocol == model.Auto || p.Protocol.IsHTTP()):
			r, err := sidecar.ServiceRoutes(svc, i)
			add(&e.routes, r, err)
		}
	}
}

// hosts of one port for callers of each namespace that has a name of its own
// for the service, and for all others.
func (s *Snapshot) hosts(in serviceInputs, port int) map[string]*part {
	out := make(map[string]*part)
	var pods []string
	if port < len(in.pods) {
		pods = in.pods[port]
	}
	without := maps.Clone(in.without)
	if len(in.taken) > 0 && without == nil {
		without = map[string]bool{}
	}
	maps.Copy(without, in.taken)
	for _, ns := range append([]string{"", in.svc.Namespace}, namespacesOf(in.others)...) {
		if out[ns] != nil {
			continue
		}
		b, err := sidecar.VirtualHosts(s.mesh.Settings, in.svc, in.others, port, pods, ns, without)
		if s.report(in.svc, err) {
			out[ns] = &part{encoded: b}
		}
	}
	return out
}

func (s *Snapshot) endpoints(svc *model.Service, port int, set *model.EndpointSet, before *endpoints) *endpoints {
	if before != nil && before.svc == svc && before.set == set {
		return before
	}
	if before == nil {
		before = &endpoints{}
	}
	settings := s.mesh.Settings
	e := &endpoints{svc: svc, set: set, reach: sidecar.ReachOf(set)}
	if svc.Kind == model.Headless {
		if svc.Ports[port].Protocol.IsHTTP() {
			e.pods = sidecar.Hostnames(set)
		}
		if len(svc.Addresses) == 0 {
			listeners, err := sidecar.PodListeners(settings, svc, port, set)
			s.report(svc, err)
			for _, l := range listeners {
				i := slices.IndexFunc(before.listeners, func(r *envoy.Resource) bool { return r.Name == l.Name })
				if i >= 0 {
					l = keep(before.listeners[i], l)
				}
				e.listeners = append(e.listeners, l)
			}
		}
	}
	for i := range set.Endpoints {
		if sidecar.Named(&set.Endpoints[i]) {
			e.named = append(e.named, named{set.Endpoints[i].Address, set.Endpoints[i].Port})
		}
	}
	if svc.Kind != model.ExternalName && !sidecar.LocalityMatters(settings, svc, set) {
		r, err := sidecar.Endpoints(settings, svc, port, set, model.Locality{})
		s.report(svc, err)
		e.anywhere = keep(before.anywhere, r)
	}
	if eastwest.Serves(svc) {
		r, err := eastwest.Endpoints(settings, svc, port, set)
		s.report(svc, err)
		e.gateway = keep(before.gateway, r)
	}
	return e
}

// report what could not be translated; true when there is nothing to report.
func (s *Snapshot) report(svc *model.Service, err error) bool {
	if err == nil {
		return true
	}
	s.problems = append(s.problems, model.Problem{
		Kind: "Service", Namespace: svc.Namespace, Name: svc.Name,
		Reason: "NotTranslated", Message: err.Error(),
	})
	return false
}

func namespacesOf(services []*model.Service) []string {
	out := make([]string, len(services))
	for i, s := range services {
		out[i] = s.Namespace
	}
	slices.SortFunc(out, strings.Compare)
	return out
}
