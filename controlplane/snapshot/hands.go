// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/scope"
	"github.com/isthmesh/isthmesh/gateways/northsouth"
)

// mostSteps of one search.
const mostSteps = 8192

// hands are the objects that may have had a hand in what a proxy refuses, as far
// as something can stand in for them. seen is the snapshot that the proxy sees.
func (t *trial) hands(seen *Snapshot, r model.Rejection) map[object]reproach {
	out := map[object]reproach{}
	add := func(h hand) {
		if _, known := out[h.of]; !known {
			out[h.of] = reproach{refused{r.TypeURL, r.Resource}, h.on, h.field, r.Reason}
		}
	}
	if r.Resource == "" {
		for _, p := range seen.chosen(r.Proxy) {
			if p.Kind == kindEnvoyFilter {
				add(hand{objectOf(p.Origin), p.Origin, "spec"})
			}
		}
	}
	for _, c := range t.touches.of(seen, r) {
		if c.origin.Kind == kindEnvoyFilter {
			add(hand{objectOf(c.origin), c.origin, c.field})
		}
	}
	for _, h := range t.s.madeOf(r) {
		add(h)
	}
	return out
}

// hand that an object may have in a resource: who is told of it, at which field.
type hand struct {
	of    object
	on    model.Origin
	field string
}

// madeOf the pieces of these objects a resource may be, by its type and its name.
func (s *Snapshot) madeOf(r model.Rejection) []hand {
	m := madeOf{s: s, p: r.Proxy, r: r}
	switch r.TypeURL {
	case envoy.ClusterType, envoy.EndpointType:
		if r.Resource == "" {
			m.clusters()
			break
		}
		m.cluster(r.Resource)
	case envoy.RouteType:
		m.routes(r.Resource)
	case envoy.ListenerType:
		taken := r.Resource == envoy.VirtualInbound || strings.HasPrefix(r.Resource, "inbound_")
		if taken || r.Resource == "" {
			m.inbound()
		}
		if !taken {
			m.routes("")
		}
		if taken || r.Resource == "" || r.Proxy.Type == model.Router {
			m.guards()
		}
		m.telemetries()
		m.limits("")
	case envoy.ExtensionType:
		if !m.limits(r.Resource) {
			m.guards()
		}
	}
	return m.out
}

type madeOf struct {
	s   *Snapshot
	p   *model.Proxy
	r   model.Rejection
	out []hand
}

// add an object that comes whole.
func (m *madeOf) add(o model.Origin) { m.out = append(m.out, hand{objectOf(o), o, "spec"}) }

// recent is true when an object changed not long ago. Objects that only may have
// had a hand in many resources are looked at for nothing else.
func (m *madeOf) recent(o model.Origin) bool {
	_, ok := m.s.aside.changes[objectOf(o)]
	return ok
}

// cluster of a host, or of a port of the proxy's own.
func (m *madeOf) cluster(name string) {
	parts := strings.Split(name, "|")
	if len(parts) != 4 || parts[0] != "outbound" {
		m.inbound()
		return
	}
	m.host(parts[3])
}

// clusters of all hosts, one of which is bad and nobody says which.
func (m *madeOf) clusters() {
	for _, st := range m.s.mesh.Services {
		if isEntry(st.Service) {
			m.add(st.Service.Origin)
		}
	}
	for _, p := range m.s.mesh.Policies {
		m.add(p.Origin)
	}
	m.inbound()
}

// host that is called: its service, and how it is called.
func (m *madeOf) host(host string) {
	for _, st := range m.s.mesh.Services {
		if string(st.Service.Hostname) == host && isEntry(st.Service) {
			m.add(st.Service.Origin)
		}
	}
	for _, p := range m.s.mesh.Policies {
		if scope.Covers(p.Host, host) {
			m.add(p.Origin)
		}
	}
}

// routes of a table that is called so; of any when it is "".
func (m *madeOf) routes(name string) {
	about := func(string) bool { return true }
	if i := strings.LastIndexByte(name, ':'); i > 0 && strings.Contains(name[:i], ".") {
		host := name[:i]
		about = func(h string) bool { return scope.Covers(h, host) || scope.Covers(host, h) }
	}
	gateways := map[model.GatewayRef]bool{model.Sidecars: m.p.Type == model.Sidecar}
	if m.p.Type == model.Router {
		m.listeners(gateways)
	}
	for _, r := range m.s.mesh.Routings {
		bound := slices.ContainsFunc(r.Gateways, func(g model.GatewayRef) bool { g.Listener = ""; return gateways[g] })
		if !bound || !slices.ContainsFunc(r.Hosts, about) {
			continue
		}
		for _, d := range delegatedBy(r) {
			m.add(*d.rules[0].Delegate)
		}
		m.add(r.Origin)
	}
	for _, st := range m.s.mesh.Services {
		if isEntry(st.Service) && about(string(st.Service.Hostname)) {
			m.add(st.Service.Origin)
		}
	}
	for _, p := range m.s.mesh.Policies {
		if m.recent(p.Origin) || hashes(p) {
			m.add(p.Origin)
		}
	}
	m.scopes("spec.egress")
}

// listeners of gateways that the resource is made of; into are their gateways.
func (m *madeOf) listeners(into map[model.GatewayRef]bool) {
	p := northsouth.ProxyOf(m.s.mesh.Settings, m.p)
	for _, g := range m.s.mesh.Gateways {
		for i := range g.Listeners {
			if p.Shows(g, i, m.r.TypeURL, m.r.Resource) {
				into[g.Ref()] = true
				on, field := northsouth.Where(g, i)
				m.out = append(m.out, hand{listenerOf(g, i), on, field})
			}
		}
	}
}

// scopes that may hold for the proxy.
func (m *madeOf) scopes(field string) {
	for _, x := range m.s.mesh.Scopes {
		if m.p.Type == model.Sidecar && (x.Namespace == m.p.Namespace || x.Namespace == m.s.mesh.Settings.RootNamespace) {
			m.out = append(m.out, hand{objectOf(x.Origin), x.Origin, field})
		}
	}
}

// hashes is true for a policy that routes have something of: what to hash.
func hashes(p *model.DestinationPolicy) bool {
	in := func(t *model.TrafficPolicy) bool {
		one := func(q model.PortPolicy) bool { return q.Balancer != nil && q.Balancer.Hash != nil }
		return one(t.PortPolicy) || slices.ContainsFunc(t.Ports, one)
	}
	return in(&p.Policy) || slices.ContainsFunc(p.Subsets, func(u model.Subset) bool { return in(&u.Policy) })
}

// inbound of the proxy: what says how its own ports are taken.
func (m *madeOf) inbound() {
	m.scopes("spec.ingress")
	if m.p.Workload == nil {
		return
	}
	for _, in := range m.p.Workload.Inbound {
		m.host(string(in.Service))
	}
}

// guards of the proxy.
func (m *madeOf) guards() {
	guarded := policy.Guarded{Namespace: m.p.Namespace, Labels: m.p.Labels}
	if m.p.Workload != nil {
		guarded.Labels = m.p.Workload.Labels
	}
	guarded.Gateway, guarded.Class = guarded.Labels[labelGatewayName], guarded.Labels[labelGatewayClass]
	chosen := policy.Choose(m.s.mesh, guarded, nil)
	for _, a := range chosen.Authorizations {
		m.add(a.Origin)
	}
	for _, a := range chosen.Authentications {
		m.add(a.Origin)
	}
}

// suspect is an object with what may stand in for it.
type suspect struct {
	object
	origin model.Origin
	by     []standIn
	// guilty at another pod, or named by the reason of the proxy.
	guilty, named bool
	// guard is a policy: it denies when it is set aside.
	guard bool
	// reach is how much of what others say goes with it when it is set aside: who has
	// more is tried after all who have less.
	reach reach
	since int
}

// reach of what stands in for an object.
type reach uint8

const (
	// itself alone.
	itself reach = iota
	// delegates' rules, too.
	delegates
	// routings of a listener, or all that a Scope lets be seen.
	routings
	reaches
)

func reachOf(is *pieces) reach {
	switch {
	case len(is.listeners)+len(is.scopes) > 0:
		return routings
	case slices.ContainsFunc(is.routings, func(r *model.Routing) bool { return len(delegatedBy(r)) > 0 }):
		return delegates
	}
	return itself
}

// steps of a search among objects: the likeliest culprit first, and of each first
// what takes away least.
func (t *trial) steps(pod objectName, now *spared, why map[object]reproach) []step {
	workload := t.s.Workload(pod.namespace, pod.name)
	all := gather(t.s.mesh, why)
	var list []suspect
	for k, is := range all {
		x := suspect{object: k, origin: is.origin(), since: t.s.aside.changes[k].since, guilty: t.guilty(k)}
		x.guard = len(is.authorizations)+len(is.authentications) > 0
		x.reach = reachOf(is)
		x.named = namedBy(why[k].text, is)
		x.by = t.standIns(k, is, now.of[k], workload, why[k])
		if len(x.by) > 0 {
			list = append(list, x)
		}
	}
	first := func(a, b bool) int { return bit(b) - bit(a) }
	slices.SortFunc(list, func(a, b suspect) int {
		return cmp.Or(first(a.guilty, b.guilty), first(a.named, b.named), cmp.Compare(b.since, a.since), first(b.guard, a.guard),
			b.origin.Older(a.origin), a.compare(b.object))
	})
	var out []step
	for r := range reaches {
		for stage, more := 0, true; more; stage++ {
			more = false
			for _, x := range list {
				if x.reach == r && stage < len(x.by) {
					out, more = append(out, step{x.object, x.by[stage]}), true
				}
			}
		}
	}
	return out[:min(len(out), mostSteps)]
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// standIns for an object that were not refused yet.
func (t *trial) standIns(k object, is *pieces, had refusal, pod *model.Workload, why reproach) []standIn {
	var remembered *standIn
	if had.aside || had.standIn != (standIn{}) {
		remembered = &had.standIn
	}
	was, known := t.s.aside.changes[k]
	otherwise := t.closed(k, is)
	if len(is.scopes) > 0 {
		// Of what is not to blame as much as there is goes on.
		either := 0
		if why.field == "spec.ingress" {
			either = 1
		}
		otherwise = []standIn{otherwise[either], otherwise[2]}
	}
	suits := func(by standIn) bool { return t.suits(k, is, by) }
	ran := known && pod != nil && t.s.aside.ranBefore(pod, is.origin(), was.since)
	out := standInsFor(is, was, known, ran, remembered, suits, otherwise)
	if !had.aside {
		return out
	}
	// What stands in for it is refused, too.
	i := slices.Index(out, had.standIn)
	if i < 0 && len(is.scopes) > 0 {
		return out[len(out)-1:]
	}
	return out[i+1:]
}

// closed stand-ins are made once for all pods.
func (t *trial) closed(k object, is *pieces) []standIn {
	if known, ok := t.next.stands[k]; ok {
		return known
	}
	if t.next.stands == nil {
		t.next.stands = map[object][]standIn{}
	}
	out := closedStandIns(is)
	t.next.stands[k] = out
	return out
}

// guilty is true when another pod's proxy refuses the object as it is.
func (t *trial) guilty(k object) bool {
	for _, s := range t.next.pods {
		if s.of[k].aside {
			return true
		}
	}
	return false
}

// namedBy a reason is an object one of whose hosts it has.
func namedBy(reason string, is *pieces) bool {
	for _, r := range is.routings {
		if slices.ContainsFunc(r.Hosts, func(h string) bool { return hasHost(reason, h) }) {
			return true
		}
	}
	for _, l := range is.listeners {
		if slices.ContainsFunc(hostsOf(l.is), func(h string) bool { return hasHost(reason, h) }) {
			return true
		}
	}
	for _, d := range is.delegated {
		if slices.ContainsFunc(d.hosts, func(h string) bool { return hasHost(reason, h) }) {
			return true
		}
	}
	for _, p := range is.policies {
		if hasHost(reason, p.Host) {
			return true
		}
	}
	for _, st := range is.services {
		if hasHost(reason, string(st.Service.Hostname)) {
			return true
		}
	}
	return false
}
