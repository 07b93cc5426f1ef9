// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
)

// service is what follows for one class from one service and its endpoints.
type service struct {
	in serviceInputs
	*translation
	// ports in the order of the service's.
	ports []*endpoints
}

// translation of a service, but for endpoints.
type translation struct {
	// clusters, listeners and routes of all its ports.
	clusters, listeners, routes []*envoy.Resource
	// hosts of each port that shares its port's routes, by the namespace of the
	// caller; "" is everybody else.
	hosts []map[string]*part
	// chains of each port that shares its port's listener; nil for none.
	chains []*chains
	// problems by the objects that caused them.
	problems []model.Problem
}

// part of a route configuration.
type part struct {
	encoded []byte
	// all: it takes every host.
	all bool
	// lookup: it leads to the hosts that requests name.
	lookup bool
	// grpcWeb: its callers may speak gRPC-Web.
	grpcWeb bool
}

// serviceInputs are what a service's translation depends on, but for endpoints.
type serviceInputs struct {
	svc    *model.Service
	others []*model.Service
	// without are domains that another service has.
	without map[string]bool
	// yields: callers in these namespaces mean another service by its hostname.
	yields []string
	// external: an ExternalName that nothing in the mesh answers to.
	external bool
	reach    []sidecar.Reach
	pods     [][]string
	// taken are domains of pods that a service has.
	taken map[string]bool
	routed
	policy *model.DestinationPolicy
	// hidden ports: the class's Scope doesn't let its callers call them by
	// themselves; routings may still lead there.
	hidden uint64
	holder sidecar.Holder
	// byAddress: HTTP is told by the service's address too.
	byAddress bool
}

func (a serviceInputs) equal(b serviceInputs) bool {
	return a.svc == b.svc && a.external == b.external && a.policy == b.policy && a.hidden == b.hidden && a.holder == b.holder && a.byAddress == b.byAddress && a.routed.equal(b.routed) &&
		slices.Equal(a.others, b.others) && slices.Equal(a.yields, b.yields) &&
		maps.Equal(a.without, b.without) && maps.Equal(a.taken, b.taken) &&
		slices.Equal(a.reach, b.reach) &&
		slices.EqualFunc(a.pods, b.pods, slices.Equal)
}

// isHidden is true for the ports from the 64th on when any is hidden there.
func (a serviceInputs) isHidden(port int) bool { return a.hidden&(1<<min(port, 63)) != 0 }

// entriesOf a class: what is new of its services is translated.
func (s *Snapshot) entriesOf(c, earlier *class) {
	same := earlier.basis == c.basis && len(earlier.entries) == len(c.services)
	var before map[*model.Service]*service
	var byHost map[model.Hostname]*service
	if !same {
		before = s.commonEntries(c)
		byHost = make(map[model.Hostname]*service, len(earlier.entries))
		for _, e := range earlier.entries {
			byHost[e.in.svc.Hostname] = e
		}
	}
	c.entries = make([]*service, len(c.services))
	c.common = make([]int, len(c.services))
	for i, st := range c.services {
		var old, shared *service
		if same {
			old = earlier.entries[i]
			if j := earlier.common[i]; j >= 0 && c != s.common {
				c.entries[i], c.common[i] = s.common.entries[j], j
				continue
			}
		} else {
			old, shared = byHost[st.Service.Hostname], before[st.Service]
		}
		if old == nil {
			old = &service{}
		}
		c.entries[i], c.common[i] = s.service(c, st, old, shared, same), -1
		if shared != nil && c.entries[i] == shared {
			c.common[i] = s.commonIndex(st.Service)
		}
	}
}

// service of a class. What is the same as for everybody else is shared.
func (s *Snapshot) service(c *class, st model.ServiceState, old, shared *service, same bool) *service {
	svc := st.Service
	var in serviceInputs
	if same {
		in = old.in
		in.reach, in.pods, in.taken = nil, nil, nil
	} else {
		in = s.inputs(c, svc)
	}
	ports := make([]*endpoints, len(st.Endpoints))
	unchanged, alike := old.in.svc == svc, shared != nil
	for i, set := range st.Endpoints {
		ports[i] = s.endpoints(c, in, i, set, at(old, i), at(shared, i))
		unchanged = unchanged && ports[i] == at(old, i)
		alike = alike && ports[i] == at(shared, i)
		reach := ports[i].reach
		reach.GRPC = s.grpc[grpcPort{svc.Hostname, svc.Ports[i].Number}]
		reach.Plain = c.caller.Gateway && !reach.GRPC
		in.reach = append(in.reach, reach)
		in.pods = append(in.pods, ports[i].pods)
	}
	in.taken = c.names.taken(s.mesh.Settings, svc, in.pods)
	if shared != nil && in.equal(shared.in) {
		if alike {
			return shared
		}
		return &service{in: in, translation: shared.translation, ports: ports}
	}
	if in.equal(old.in) {
		if unchanged {
			return old
		}
		return &service{in: in, translation: old.translation, ports: ports}
	}
	out := &service{in: in, translation: s.found(in), ports: ports}
	if out.translation == nil {
		out.translation = s.translate(c, in, old, shared)
		s.remember(out)
	}
	return out
}

// inputs of a service's translation that don't depend on endpoints.
func (s *Snapshot) inputs(c *class, svc *model.Service) serviceInputs {
	policy := s.scope.Policy(c.caller, svc)
	return serviceInputs{
		svc: svc, others: c.names.others[svc], without: c.names.without[svc], yields: c.names.yields[svc], external: c.names.external[svc],
		policy:    policy,
		holder:    c.holder(policy),
		byAddress: s.byAddress(c, svc),
		routed:    s.routed(c, s.governing(c, svc)),
		hidden:    c.hidden(svc),
	}
}

// translate a service anew. A resource that comes out as before stays.
func (s *Snapshot) translate(c *class, in serviceInputs, old, shared *service) *translation {
	out := &translation{}
	svc := in.svc
	before := known(old, shared)
	add := func(to *[]*envoy.Resource, list ...*envoy.Resource) {
		for _, r := range list {
			*to = append(*to, keep(before[r.Name], r))
		}
	}
	say := func(problems []model.Problem, err error) {
		out.problems = append(out.problems, problems...)
		if err != nil {
			out.problems = append(out.problems, notTranslated(svc, err))
		}
	}
	call := s.call(c, in)
	out.hosts = make([]map[string]*part, len(svc.Ports))
	out.chains = make([]*chains, len(svc.Ports))
	for i, p := range svc.Ports {
		switch {
		case svc.Kind != model.ExternalName:
			made, problems, err := call.Clusters(i, in.reach[i], s.from(in.labels, model.Locality{}))
			say(problems, err)
			add(&out.clusters, made...)
		case in.external && p.Protocol.IsHTTP():
			r, problems, err := call.External(i)
			say(problems, err)
			if r != nil {
				add(&out.clusters, r)
			}
		default:
			// It has no name of its own, or none that a connection tells.
			continue
		}
		if in.isHidden(i) {
			continue
		}
		made, problems, err := call.AddressListeners(i)
		say(problems, err)
		add(&out.listeners, made...)
		if cs, rest, problems := call.SharedChains(i); len(cs) > 0 || rest != nil {
			say(problems, nil)
			out.chains[i] = &chains{of: cs, rest: rest, origin: originOf(svc)}
		}
		shares := sidecar.SharesPort(svc, p)
		if !shares && (len(svc.Addresses) == 0 || p.Protocol != model.Auto && !p.Protocol.IsHTTP()) {
			continue
		}
		routes, problems := call.Routes(p.Number)
		say(problems, nil)
		if shares {
			hosts, err := s.hosts(call, in, i, routes)
			say(nil, err)
			out.hosts[i] = keepParts(hosts, i, shared, old)
			if !call.HTTPByAddress(i) {
				continue
			}
		}
		r, err := call.ServiceRoutes(i, routes)
		say(nil, err)
		if r != nil {
			add(&out.routes, r)
		}
	}
	return out
}

// known resources of earlier translations by their names. No two of different
// types have one name but clusters' and routes' of the same service, whose
// versions differ.
func known(list ...*service) map[string]*envoy.Resource {
	out := map[string]*envoy.Resource{}
	for _, e := range list {
		if e == nil || e.translation == nil {
			continue
		}
		for _, resources := range [][]*envoy.Resource{e.clusters, e.listeners, e.routes} {
			for _, r := range resources {
				if out[r.Name] == nil {
					out[r.Name] = r
				}
			}
		}
	}
	return out
}

// from is a caller somewhere, with its labels.
func (s *Snapshot) from(labels model.Labels, at model.Locality) destination.Caller {
	return destination.Caller{Locality: at, Labels: labels, Cluster: s.mesh.Settings.Cluster, Network: s.mesh.Settings.Network}
}

// call of a service by a class.
func (s *Snapshot) call(c *class, in serviceInputs) sidecar.Call {
	return sidecar.Call{
		Settings: s.mesh.Settings, Service: in.svc, Policy: in.policy, Routings: in.routings,
		Holder: in.holder, ByAddress: in.byAddress, Closed: in.closed,
		Namespace: in.namespace, Labels: in.labels, Cluster: s.clusterOf(c), Lookup: in.svc.Resolution == model.ByHost || in.lookup(),
	}
}

// hosts of one port for callers of each namespace that has a name of its own
// for the service, and for all others.
func (s *Snapshot) hosts(call sidecar.Call, in serviceInputs, port int, routes routes) (map[string]*part, error) {
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
	for _, ns := range slices.Concat([]string{"", in.svc.Namespace}, namespacesOf(in.others), in.yields) {
		if out[ns] != nil {
			continue
		}
		less := without
		if slices.Contains(in.yields, ns) {
			less = maps.Clone(without)
			if less == nil {
				less = map[string]bool{}
			}
			less[string(in.svc.Hostname)] = true
		}
		b, err := call.VirtualHosts(in.others, port, routes, pods, ns, less)
		if err != nil {
			return nil, err
		}
		out[ns] = &part{encoded: b, all: in.svc.Hostname == "*", lookup: call.Lookup, grpcWeb: in.svc.Ports[port].Protocol == model.GRPCWeb}
	}
	return out, nil
}

// keepParts returns earlier parts of a port when they say the same.
func keepParts(now map[string]*part, port int, earlier ...*service) map[string]*part {
	for _, e := range earlier {
		if e == nil || e.translation == nil || port >= len(e.hosts) || len(now) == 0 {
			continue
		}
		if maps.EqualFunc(now, e.hosts[port], func(a, b *part) bool {
			return a.all == b.all && a.lookup == b.lookup && bytes.Equal(a.encoded, b.encoded)
		}) {
			return e.hosts[port]
		}
	}
	return now
}

func notTranslated(svc *model.Service, err error) model.Problem {
	return originOf(svc).Problem("", "NotTranslated", err.Error())
}

func originOf(svc *model.Service) model.Origin {
	if svc.Origin.Kind != "" {
		return svc.Origin
	}
	return model.Origin{Kind: "Service", Namespace: svc.Namespace, Name: svc.Name}
}

func namespacesOf(services []*model.Service) []string {
	out := make([]string, len(services))
	for i, s := range services {
		out[i] = s.Namespace
	}
	slices.SortFunc(out, strings.Compare)
	return out
}
