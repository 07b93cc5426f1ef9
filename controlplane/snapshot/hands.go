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
)

// mostSteps of one search.
const mostSteps = 8192

// hands are the objects that may have had a hand in what a proxy refuses, as far
// as something can stand in for them. seen is the snapshot that the proxy sees.
func (t *trial) hands(seen *Snapshot, r model.Rejection) map[object]reproach {
	out := map[object]reproach{}
	add := func(o model.Origin, field string) {
		k := objectOf(o)
		if _, known := out[k]; !known {
			out[k] = reproach{refused{r.TypeURL, r.Resource}, field, r.Reason}
		}
	}
	for _, c := range t.touches.of(seen, r) {
		if c.origin.Kind == kindEnvoyFilter {
			add(c.origin, c.field)
		}
	}
	for _, o := range t.s.madeOf(r) {
		add(o, "spec")
	}
	return out
}

// madeOf the pieces of these objects a resource may be, by its type and its name.
func (s *Snapshot) madeOf(r model.Rejection) []model.Origin {
	m := madeOf{s: s, p: r.Proxy}
	switch r.TypeURL {
	case envoy.ClusterType, envoy.EndpointType:
		m.cluster(r.Resource)
	case envoy.RouteType:
		m.routes(r.Resource)
	case envoy.ListenerType:
		m.routes("")
		m.inbound()
		m.guards()
	case envoy.ExtensionType:
		m.guards()
	}
	return m.out
}

type madeOf struct {
	s   *Snapshot
	p   *model.Proxy
	out []model.Origin
}

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

// host that is called: its service, and how it is called.
func (m *madeOf) host(host string) {
	for _, st := range m.s.mesh.Services {
		if string(st.Service.Hostname) == host && isEntry(st.Service) {
			m.out = append(m.out, st.Service.Origin)
		}
	}
	for _, p := range m.s.mesh.Policies {
		if scope.Covers(p.Host, host) {
			m.out = append(m.out, p.Origin)
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
	for _, g := range m.s.mesh.Gateways {
		if m.p.Type == model.Router && (g.SelectorNamespace == "" || g.SelectorNamespace == m.p.Namespace) && g.Selector.Select(m.p.Labels) {
			gateways[g.Ref()] = true
			m.out = append(m.out, g.Origin)
		}
	}
	for _, r := range m.s.mesh.Routings {
		bound := slices.ContainsFunc(r.Gateways, func(g model.GatewayRef) bool { g.Listener = ""; return gateways[g] })
		if bound && slices.ContainsFunc(r.Hosts, about) {
			m.out = append(m.out, r.Origin)
		}
	}
	for _, st := range m.s.mesh.Services {
		if isEntry(st.Service) && about(string(st.Service.Hostname)) {
			m.out = append(m.out, st.Service.Origin)
		}
	}
	for _, p := range m.s.mesh.Policies {
		if m.recent(p.Origin) || hashes(p) {
			m.out = append(m.out, p.Origin)
		}
	}
	for _, x := range m.s.mesh.Scopes {
		if m.p.Type == model.Sidecar && (x.Namespace == m.p.Namespace || x.Namespace == m.s.mesh.Settings.RootNamespace) {
			m.out = append(m.out, x.Origin)
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
	for _, x := range m.s.mesh.Scopes {
		if m.p.Type == model.Sidecar && (x.Namespace == m.p.Namespace || x.Namespace == m.s.mesh.Settings.RootNamespace) {
			m.out = append(m.out, x.Origin)
		}
	}
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
		m.out = append(m.out, a.Origin)
	}
	for _, a := range chosen.Authentications {
		m.out = append(m.out, a.Origin)
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
	since int
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
		x.named = namedBy(why[k].text, is)
		x.by = t.standIns(k, is, now.of[k], workload)
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
	for stage := 0; ; stage++ {
		before := len(out)
		for _, x := range list {
			if stage < len(x.by) {
				out = append(out, step{x.object, x.by[stage]})
			}
		}
		if len(out) == before {
			return out[:min(len(out), mostSteps)]
		}
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// standIns for an object that were not refused yet.
func (t *trial) standIns(k object, is *pieces, had refusal, pod *model.Workload) []standIn {
	var remembered *standIn
	if had.aside || had.standIn != (standIn{}) {
		remembered = &had.standIn
	}
	was, known := t.s.aside.changes[k]
	out := standInsFor(is, was, known, pod, remembered, t.closed(k, is))
	if !had.aside {
		return out
	}
	// What stands in for it is refused, too.
	i := slices.Index(out, had.standIn)
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
