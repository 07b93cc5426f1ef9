// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"cmp"
	"iter"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Input is what services of entries are made of.
type Input struct {
	// ServiceEntries sorted by namespace and name, with labels.
	ServiceEntries []*networking.ServiceEntry
	Machines       *Machines
	// Pods of a namespace, sorted by name.
	Pods func(namespace string) []Pod
	// Services of the cluster and of other members; Service finds one, or nil.
	Services iter.Seq[*model.Service]
	Service  func(namespace, name string) *model.Service
	// Claims of the cluster's Services on machines.
	Claims   []Claim
	Settings *model.Settings
}

// Output is what entries give. It is immutable.
type Output struct {
	// Services sorted by hostname and namespace.
	Services []model.ServiceState
	// Workloads are the machines, sorted by namespace and name.
	Workloads []*model.Workload
	// Claims on pods, sorted by namespace and workload.
	Claims   []Claim
	Problems []model.Problem

	entries map[*networking.ServiceEntry]*entry
	chosen  map[*entry]*selection
	hosts   []*host
}

// Build makes the services of entries. Prev is the last output, or nil; what
// says the same as there keeps its pointers.
func Build(in Input, prev *Output) *Output {
	if prev == nil {
		prev = &Output{}
	}
	out := &Output{entries: make(map[*networking.ServiceEntry]*entry, len(in.ServiceEntries)), chosen: map[*entry]*selection{}}
	var all []*entry
	for _, o := range in.ServiceEntries {
		e := prev.entries[o]
		if e == nil || e.settings != in.Settings {
			e = readEntry(o, in.Settings)
		}
		out.entries[o] = e
		if e.selects {
			out.chosen[e] = e.choose(&in, prev.chosen[e])
		}
		all = append(all, e)
		out.Problems = append(out.Problems, e.problems...)
	}
	out.hosts = out.arrange(&in, all)
	out.loseAddresses(&in)
	out.buildHosts(prev)
	out.buildWorkloads(&in, prev)
	out.Problems = append(out.Problems, in.Machines.Problems...)
	if slices.Equal(prev.Problems, out.Problems) {
		out.Problems = prev.Problems
	}
	return out
}

// arrange gives each host its entries, the oldest first, sorted by host.
func (out *Output) arrange(in *Input, all []*entry) []*host {
	slices.SortStableFunc(all, func(a, b *entry) int { return a.Older(b.Origin) })
	byName := map[[2]string]*host{}
	var hosts []*host
	for _, e := range all {
		for _, name := range e.hosts {
			claimed, decorates := out.owned(in, e, name)
			if decorates {
				continue
			}
			k := [2]string{string(name), e.Namespace}
			h := byName[k]
			if h == nil {
				h = &host{name: name, namespace: e.Namespace, settings: in.Settings, confined: claimed}
				byName[k] = h
				hosts = append(hosts, h)
			}
			h.parts = append(h.parts, part{e, out.chosen[e]})
		}
	}
	slices.SortFunc(hosts, (*host).compare)
	return hosts
}

// owned says whether a host belongs to another namespace (claimed), and whether
// a Service of the entry's own namespace has it, which the entry then decorates.
func (out *Output) owned(in *Input, e *entry, name model.Hostname) (claimed, decorates bool) {
	namespace, service, ok := ownerOf(name, in.Settings.DomainSuffix)
	if !ok {
		// The short forms that the resolver's search list completes.
		short := strings.Split(strings.TrimSuffix(string(name), ".svc"), ".")
		if len(short) != 2 || in.Service(short[1], short[0]) == nil {
			return false, false
		}
		namespace, service = short[1], short[0]
	}
	if namespace != e.Namespace {
		if service != "" && in.Service(namespace, service) != nil && e.Namespace == in.Settings.RootNamespace {
			out.Problems = append(out.Problems, e.Problem("spec.hosts", conflict,
				"Service "+service+" of namespace "+namespace+" has "+string(name)+" and holds, so only namespace "+e.Namespace+" sees it here; use another name"))
		}
		return e.Namespace != in.Settings.RootNamespace, false
	}
	if service == "" || in.Service(namespace, service) == nil {
		return false, false
	}
	if len(e.names) == 0 || len(e.addresses)+len(e.ranges)+len(e.endpoints) > 0 || e.selects {
		out.Problems = append(out.Problems, e.Problem("spec.hosts", conflict,
			"Service "+service+" of the namespace has "+string(name)+" and holds: only subjectAltNames are added to it; use another name for what is to be called besides"))
	}
	return false, true
}

// Decoration are names that the endpoints of a Service may have besides their own.
type Decoration struct {
	Namespace, Name string
	Names           []string
}

// Decorations reads of ServiceEntries what they add to Services of their own
// namespace, if there are such: sorted by namespace and name, one per both.
func Decorations(given []*networking.ServiceEntry, suffix string) []Decoration {
	var all []Decoration
	for _, o := range given {
		if len(o.Spec.GetSubjectAltNames()) == 0 {
			continue
		}
		for _, text := range o.Spec.GetHosts() {
			name, why := readHost(text)
			if namespace, service, ok := ownerOf(name, suffix); why == "" && ok && service != "" && namespace == o.Namespace {
				all = append(all, Decoration{namespace, service, o.Spec.GetSubjectAltNames()})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Decoration) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	var merged []Decoration
	for _, d := range all {
		if n := len(merged); n > 0 && merged[n-1].Namespace == d.Namespace && merged[n-1].Name == d.Name {
			merged[n-1].Names = slices.Concat(merged[n-1].Names, d.Names)
			continue
		}
		merged = append(merged, d)
	}
	for i, d := range merged {
		names := slices.DeleteFunc(slices.Clone(d.Names), func(s string) bool { return s == "" })
		slices.Sort(names)
		merged[i].Names = slices.Compact(names)
	}
	return merged
}

// loseAddresses finds the addresses that Services have, and allocates to hosts
// that have none.
func (out *Output) loseAddresses(in *Input) {
	if len(out.hosts) == 0 {
		return
	}
	wanted := map[netip.Addr][]*host{}
	taken := map[netip.Addr]bool{}
	for _, h := range out.hosts {
		for _, ip := range h.parts[0].addresses {
			wanted[ip] = append(wanted[ip], h)
			taken[ip] = true
		}
	}
	for svc := range in.Services {
		for _, ip := range svc.Addresses {
			for _, h := range wanted[ip] {
				h.lost = append(h.lost, ip)
			}
			if allocatable.Contains(ip) {
				taken[ip] = true
			}
		}
	}
	for _, h := range out.hosts {
		slices.SortFunc(h.lost, netip.Addr.Compare)
		h.lost = slices.Compact(h.lost)
	}
	out.Problems = append(out.Problems, allocate(out.hosts, taken)...)
}

// buildHosts builds the hosts that are not as in prev.
func (out *Output) buildHosts(prev *Output) {
	same := len(prev.hosts) == len(out.hosts)
	for i, h := range out.hosts {
		at, there := slices.BinarySearchFunc(prev.hosts, h, (*host).compare)
		switch {
		case there && prev.hosts[at].same(h):
			h = prev.hosts[at]
			out.hosts[i] = h
		case there:
			h.build(prev.hosts[at].state)
		default:
			h.build(model.ServiceState{})
		}
		same = same && prev.hosts[i] == h
		out.Problems = append(out.Problems, h.problems...)
	}
	if same {
		out.Services, out.Claims = prev.Services, prev.Claims
		return
	}
	for _, h := range out.hosts {
		if len(h.state.Service.Ports) > 0 {
			out.Services = append(out.Services, h.state)
		}
		for _, c := range h.claims {
			if !c.Machine {
				out.Claims = append(out.Claims, c)
			}
		}
	}
	slices.SortStableFunc(out.Claims, compareClaims)
}

// buildWorkloads makes the machines' own places in the mesh.
func (out *Output) buildWorkloads(in *Input, prev *Output) {
	claims := map[[2]string][]Claim{}
	note := func(all []Claim) {
		for _, c := range all {
			if c.Machine {
				k := [2]string{c.By.Namespace, c.Workload}
				claims[k] = append(claims[k], c)
			}
		}
	}
	note(in.Claims)
	for _, h := range out.hosts {
		note(h.claims)
	}
	for _, m := range in.Machines.All {
		inbound, problems := Inbound(claims[[2]string{m.Namespace, m.Name}])
		w := m.workload(in.Settings.TrustDomain, inbound)
		i, there := slices.BinarySearchFunc(prev.Workloads, w, compareWorkloads)
		if there && reflect.DeepEqual(prev.Workloads[i], w) {
			w = prev.Workloads[i]
		}
		out.Workloads = append(out.Workloads, w)
		out.Problems = append(out.Problems, problems...)
	}
	if slices.Equal(prev.Workloads, out.Workloads) {
		out.Workloads = prev.Workloads
	}
}

func compareWorkloads(a, b *model.Workload) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}
