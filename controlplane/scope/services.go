// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// services of a mesh, as far as endpoints don't matter.
type services struct {
	// narrow: some are not seen by everybody, or share a hostname.
	narrow bool
	// doubled hostnames.
	doubled  map[model.Hostname]bool
	problems []model.Problem
	// aliases of services that are not hostnames of others.
	aliases map[model.Hostname]model.Hostname
	// of maps hostnames to the namespaces that have a service of that name.
	of map[model.Hostname][]string
}

func indexServices(mesh *model.Mesh) *services {
	out := &services{doubled: map[model.Hostname]bool{}, aliases: map[model.Hostname]model.Hostname{}, of: make(map[model.Hostname][]string, len(mesh.Services))}
	for _, st := range mesh.Services {
		svc := st.Service
		out.narrow = out.narrow || svc.Visible.Limited
		for _, a := range svc.Aliases {
			out.aliases[a] = svc.Hostname
		}
		out.of[svc.Hostname] = append(out.of[svc.Hostname], svc.Namespace)
		if len(out.of[svc.Hostname]) > 1 {
			out.narrow, out.doubled[svc.Hostname] = true, true
		}
	}
	if len(out.doubled) > 0 {
		out.problems = hidden(mesh, out.doubled)
	}
	return out
}

// hidden services: another namespace's has the same hostname and goes before
// them for everybody but the callers of their own namespace.
func hidden(mesh *model.Mesh, doubled map[model.Hostname]bool) []model.Problem {
	var out []model.Problem
	best := map[model.Hostname]*model.Service{}
	for _, st := range mesh.Services {
		svc := st.Service
		if doubled[svc.Hostname] && !svc.Visible.Limited && (best[svc.Hostname] == nil || before(svc, best[svc.Hostname])) {
			best[svc.Hostname] = svc
		}
	}
	for _, st := range mesh.Services {
		svc := st.Service
		winner := best[svc.Hostname]
		if winner == nil || winner == svc || svc.Visible.Limited {
			continue
		}
		out = append(out, problemOf(svc, "HostConflict", fmt.Sprintf(
			"host %q is also defined by %s %s/%s, which callers of other namespaces than %s see instead; export one of them to its own namespace only (exportTo \".\")",
			svc.Hostname, kindOf(winner), winner.Namespace, winner.Origin.Name, svc.Namespace)))
	}
	return out
}

func problemOf(svc *model.Service, reason, message string) model.Problem {
	o := svc.Origin
	if o.Kind == "" {
		o = model.Origin{Kind: "Service", Namespace: svc.Namespace, Name: svc.Name}
	}
	return o.Problem("", reason, message)
}

func kindOf(svc *model.Service) string { return cmp.Or(svc.Origin.Kind, "Service") }

// before is true when a goes before b among services of one hostname: those of
// Kubernetes first, then the oldest.
func before(a, b *model.Service) bool {
	if k, l := kindOf(a) == "ServiceEntry", kindOf(b) == "ServiceEntry"; k != l {
		return l
	}
	return cmp.Or(a.Origin.Older(b.Origin), strings.Compare(a.Namespace, b.Namespace)) < 0
}

// see fills a view.
func (x *Index) see(v *view, k viewKey) {
	v.routings = x.routings.seen(k, x.services)
	switch {
	case k.scope != nil && k.scope.Egress != nil:
		v.services = x.within(k, v.routings)
	case x.services.narrow:
		v.services = x.visible(k.namespace, nil)
	default:
		v.services = x.mesh.Services
	}
	for _, st := range v.services {
		if strings.HasPrefix(string(st.Service.Hostname), "*") {
			v.wildcards = append(v.wildcards, st)
		}
	}
	slices.SortStableFunc(v.wildcards, func(a, b model.ServiceState) int {
		return len(b.Service.Hostname) - len(a.Service.Hostname)
	})
}

// visible services of a namespace's callers that are wanted, one per hostname.
func (x *Index) visible(namespace string, wanted func(*model.Service) bool) []model.ServiceState {
	var out []model.ServiceState
	for _, st := range x.mesh.Services {
		svc := st.Service
		if !svc.Visible.In(namespace) || wanted != nil && !wanted(svc) {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Service.Hostname == svc.Hostname {
			if nearer(svc, out[n-1].Service, namespace) {
				out[n-1] = st
			}
			continue
		}
		out = append(out, st)
	}
	return out
}

// nearer is true when a caller in a namespace means a rather than b.
func nearer(a, b *model.Service, namespace string) bool {
	if own, other := a.Namespace == namespace, b.Namespace == namespace; own != other {
		return own
	}
	return before(a, b)
}

// within are the services that a Scope lets its callers see, and those that the
// routings which it lets them see send to.
func (x *Index) within(k viewKey, r *bound) []model.ServiceState {
	named := map[model.Hostname]bool{}
	for _, h := range r.destinations() {
		named[h] = true
	}
	out := x.visible(k.namespace, func(svc *model.Service) bool {
		return named[svc.Hostname] || Sees(k.scope.Egress, svc, k.namespace)
	})
	return out
}

// Sees is true when one of a Scope's egress listeners names a service, for a
// caller in a namespace.
func Sees(egress []model.Egress, svc *model.Service, caller string) bool {
	return slices.ContainsFunc(egress, func(e model.Egress) bool { return Names(e.Hosts, svc, caller) })
}

// Names is true when one of the hosts names a service, by its hostname or an
// alias. Namespace "." is the caller's: a Scope of the root namespace holds for many.
func Names(hosts []model.ListenerHost, svc *model.Service, caller string) bool {
	return names(hosts, []string{svc.Namespace}, caller, func(pattern string) bool {
		return Covers(pattern, string(svc.Hostname)) || slices.ContainsFunc(svc.Aliases, func(a model.Hostname) bool {
			return Covers(pattern, string(a))
		})
	})
}

// names is true when a host names something of one of the namespaces that fits,
// and none takes it away again.
func names(hosts []model.ListenerHost, namespaces []string, caller string, fits func(pattern string) bool) bool {
	named := false
	for _, h := range hosts {
		without := len(h.Namespace) > 1 && h.Namespace[0] == '~'
		if without {
			h.Namespace = h.Namespace[1:]
		}
		if !slices.ContainsFunc(namespaces, func(n string) bool { return inNamespace(h, n, caller) }) || !fits(h.Host) {
			continue
		}
		if without {
			return false
		}
		named = true
	}
	return named
}

func inNamespace(h model.ListenerHost, namespace, caller string) bool {
	return h.Namespace == "*" || h.Namespace == namespace || h.Namespace == "." && namespace == caller
}

// Covers is true when a host pattern ("*", "*.suffix" or a name) takes in
// everything that another pattern or name does.
func Covers(pattern, host string) bool {
	if pattern == "*" || pattern == host {
		return true
	}
	return strings.HasPrefix(pattern, "*.") && strings.HasSuffix(host, pattern[1:])
}

// Services that a caller sees, sorted by hostname, one per hostname: of several
// its own namespace's, then Kubernetes', then the oldest. Read only.
func (x *Index) Services(c Caller) []model.ServiceState { return x.view(c).services }

// Service that a caller means by a hostname: the one of that name or alias, else
// the one with the longest wildcard that takes it in.
func (x *Index) Service(c Caller, h model.Hostname) (model.ServiceState, bool) {
	v := x.view(c)
	if st, ok := v.exact(h); ok {
		return st, true
	}
	if of, ok := x.services.aliases[h]; ok {
		if st, ok := v.exact(of); ok {
			return st, true
		}
	}
	for _, st := range v.wildcards {
		if Covers(string(st.Service.Hostname), string(h)) {
			return st, true
		}
	}
	return model.ServiceState{}, false
}

func (v *view) exact(h model.Hostname) (model.ServiceState, bool) {
	i, ok := slices.BinarySearchFunc(v.services, h, func(s model.ServiceState, h model.Hostname) int {
		return strings.Compare(string(s.Service.Hostname), string(h))
	})
	if !ok {
		return model.ServiceState{}, false
	}
	return v.services[i], true
}
