// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// resolutions by ServiceEntry's.
var resolutions = map[networkingapi.ServiceEntry_Resolution]model.Resolution{
	networkingapi.ServiceEntry_NONE:            model.AsCalled,
	networkingapi.ServiceEntry_STATIC:          model.Discovered,
	networkingapi.ServiceEntry_DNS:             model.ByDNS,
	networkingapi.ServiceEntry_DNS_ROUND_ROBIN: model.ByDNSRoundRobin,
	networkingapi.ServiceEntry_DYNAMIC_DNS:     model.ByHost,
}

// entry is a ServiceEntry that was read: what of it can be used.
type entry struct {
	model.Origin
	given      *networking.ServiceEntry
	settings   *model.Settings
	hosts      []model.Hostname
	addresses  []netip.Addr
	ranges     []netip.Prefix
	ports      []port
	resolution model.Resolution
	external   bool
	visible    model.Visibility
	names      []string
	labels     model.Labels
	// endpoints are written into it, or it has a selector; or neither.
	endpoints []*Machine
	selector  model.Labels
	selects   bool
	// fixed: no address is to be allocated.
	fixed    bool
	problems []model.Problem
}

// readEntry reads a ServiceEntry by itself.
func readEntry(o *networking.ServiceEntry, s *model.Settings) *entry {
	r := &report{of: originOf(kindServiceEntry, o)}
	e := &entry{Origin: r.of, given: o, settings: s, external: o.Spec.GetLocation() == networkingapi.ServiceEntry_MESH_EXTERNAL}
	var known bool
	if e.resolution, known = resolutions[o.Spec.GetResolution()]; !known {
		r.add("spec.resolution", invalid, "%d is no resolution; the entry is left out", o.Spec.GetResolution())
		e.problems = r.problems
		return e
	}
	var unknown []string
	e.visible, unknown = model.VisibilityOf(o.Spec.GetExportTo(), o.Namespace, s.ServiceExportTo)
	for _, to := range unknown {
		r.add("spec.exportTo", invalid, `%q is no namespace; use the name of one, ".", "~" or "*"`, to)
	}
	there := map[string]bool{}
	for _, to := range o.Spec.GetExportTo() {
		if to == "." {
			to = o.Namespace
		}
		if there[to] {
			r.add("spec.exportTo", invalid, "%.100q is there twice; name each namespace once", to)
		}
		there[to] = true
	}
	e.labels = readLabels(r, "metadata", o.Labels)
	e.fixed = o.Labels[labelAllocate] == "false"
	e.ports = readPorts(r, o.Spec.GetPorts())
	e.dropUnnamed(r)
	e.readNames(r)
	e.readHosts(r)
	e.manyHosts(r)
	e.readAddresses(r)
	e.readEndpoints(r, s)
	e.idle(r)
	switch {
	case len(o.Spec.GetPorts()) == 0:
		r.add("spec.ports", noEffect, "there is no port, so nothing can be called; add one")
	case len(e.ports) == 0:
		r.add("spec.ports", invalid, "no port is left, so nothing can be called; add one")
	}
	e.problems = r.problems
	return e
}

// dropUnnamed leaves out ports on which nobody names the host that is to be looked up.
func (e *entry) dropUnnamed(r *report) {
	if e.resolution != model.ByHost {
		return
	}
	for i, p := range e.given.Spec.GetPorts() {
		if p.GetProtocol() == "" {
			r.add(fmt.Sprintf("spec.ports[%d].protocol", i), invalid, "with resolution DYNAMIC_DNS the host comes from HTTP or from TLS; say which it is")
		}
	}
	e.ports = slices.DeleteFunc(e.ports, func(p port) bool {
		if p.Protocol == model.TCP {
			r.add(p.field+".protocol", invalid, "with resolution DYNAMIC_DNS the host comes from HTTP or from TLS, and %s names none; use one of these, or resolution NONE", p.Protocol)
		}
		return p.Protocol == model.TCP
	})
}

func (e *entry) readNames(r *report) {
	e.names = slices.Clone(e.given.Spec.GetSubjectAltNames())
	slices.Sort(e.names)
	e.names = slices.Compact(e.names)
	if len(e.names) > 0 && e.names[0] == "" {
		r.add("spec.subjectAltNames", invalid, "an empty name is no certificate's and is left out; remove it")
		e.names = e.names[1:]
	}
}

func (e *entry) readHosts(r *report) {
	if len(e.given.Spec.GetHosts()) == 0 {
		r.add("spec.hosts", invalid, "there is no host to call; add one")
	}
	named := len(e.given.Spec.GetEndpoints()) > 0 || e.given.Spec.GetWorkloadSelector() != nil
	for i, text := range e.given.Spec.GetHosts() {
		field := fmt.Sprintf("spec.hosts[%d]", i)
		host, why := readHost(text)
		byDNS := e.resolution == model.ByDNS || e.resolution == model.ByDNSRoundRobin
		switch {
		case why != "":
			r.add(field, invalid, "%q is left out: %s", text, why)
			continue
		case slices.Contains(e.hosts, host):
			r.add(field, conflict, "%q is there twice; remove one", text)
			continue
		case isWildcard(host) && byDNS && !named:
			r.add(field, invalid, "%q can't be looked up; add endpoints, or use resolution NONE or DYNAMIC_DNS", text)
			continue
		case !isWildcard(host) && e.resolution == model.ByHost:
			r.add(field, invalid, "resolution DYNAMIC_DNS is for wildcards, and %q is none; use DNS", text)
			continue
		}
		e.hosts = append(e.hosts, host)
	}
}

// manyHosts can't be told apart on ports that carry no name of them.
func (e *entry) manyHosts(r *report) {
	if len(e.given.Spec.GetHosts()) < 2 || e.resolution == model.AsCalled {
		return
	}
	for i, p := range e.given.Spec.GetPorts() {
		if !named[strings.ToUpper(p.GetProtocol())] {
			r.add(fmt.Sprintf("spec.ports[%d].protocol", i), invalid,
				"several hosts are told apart by HTTP and TLS only, and by their addresses at best; use one of these protocols, or an entry for each host")
			return
		}
	}
}

// named are the protocols in which callers name the host.
var named = map[string]bool{"HTTP": true, "HTTP2": true, "GRPC": true, "GRPC-WEB": true, "HTTPS": true, "TLS": true}

func (e *entry) readAddresses(r *report) {
	single := func(field string, ip netip.Addr) {
		if ip.IsUnspecified() {
			// As in Istio. A listener of it would be in the way of the proxy's own, which have every address.
			r.add(field, noEffect, "nobody has the address %s, so it is as if it were not there; remove it", ip)
			return
		}
		e.addresses = append(e.addresses, ip)
	}
	for i, text := range e.given.Spec.GetAddresses() {
		field := fmt.Sprintf("spec.addresses[%d]", i)
		if strings.Contains(text, "/") {
			prefix, err := netip.ParsePrefix(text)
			switch {
			case err != nil:
				r.add(field, invalid, "%q is no address and no CIDR range; correct it", text)
			case e.resolution != model.AsCalled && e.resolution != model.Discovered:
				r.add(field, invalid, "a range of addresses goes with resolution NONE or STATIC only; change the resolution, or give single addresses")
			case prefix.Addr().Is4In6():
				r.add(field, invalid, "%q is an IPv4 range in IPv6 form; write it in IPv4 form", text)
			case prefix.IsSingleIP():
				single(field, prefix.Addr())
			default:
				e.ranges = append(e.ranges, prefix.Masked())
			}
			continue
		}
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			r.add(field, invalid, "%q is no address and no CIDR range; correct it", text)
			continue
		}
		single(field, ip.Unmap())
	}
	e.addresses = unique(e.addresses, netip.Addr.Compare)
	e.ranges = unique(e.ranges, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
}

func unique[T comparable](all []T, compare func(a, b T) int) []T {
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}

// readEndpoints reads what is written of endpoints, and the selector.
func (e *entry) readEndpoints(r *report, s *model.Settings) {
	given, selector := e.given.Spec.GetEndpoints(), e.given.Spec.GetWorkloadSelector()
	if len(given) > 0 && selector != nil {
		r.add("spec.workloadSelector", invalid, "endpoints and workloadSelector exclude each other; the endpoints hold, remove one of both")
		selector = nil
	}
	switch {
	case e.resolution == model.AsCalled && len(given) == 0 && selector != nil:
		r.add("spec.workloadSelector", noEffect, "with resolution NONE calls go where the caller meant them to, and nothing is selected; set STATIC or DNS, or remove it")
		return
	case e.resolution == model.AsCalled && len(given) > 0:
		r.add("spec.resolution", invalid, "with resolution NONE calls go where the caller meant them to; the endpoints are not used, set STATIC or DNS")
		return
	case e.resolution == model.ByHost && (len(given) > 0 || selector != nil):
		r.add("spec.endpoints", invalid, "with resolution DYNAMIC_DNS calls go to the host that they name; the endpoints are not used, remove them")
		return
	case e.resolution == model.ByDNSRoundRobin && len(given) > 1:
		r.add("spec.endpoints", invalid, "resolution DNS_ROUND_ROBIN takes one endpoint; the first is used, remove the others or use DNS")
		given = given[:1]
	}
	if selector != nil {
		e.selector, e.selects = readLabels(r, "spec.workloadSelector", selector.GetLabels()), len(selector.GetLabels()) > 0
		if !e.selects {
			r.add("spec.workloadSelector", noEffect, "a selector without labels selects nothing; add labels")
		}
		return
	}
	for i, spec := range given {
		field := fmt.Sprintf("spec.endpoints[%d]", i)
		m := readMachine(r, field, spec, nil, s)
		if m == nil {
			continue
		}
		if why := e.unfit(m); why != "" {
			r.add(field+".address", invalid, "%q is left out: %s", m.Endpoint.Address, why)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(m.Ports)) {
			if !slices.ContainsFunc(e.ports, func(p port) bool { return p.Name == name }) {
				r.add(fmt.Sprintf("%s.ports[%s]", field, name), invalid, "no port of the entry is called %q; use one of their names", name)
			}
		}
		e.endpoints = append(e.endpoints, m)
	}
	switch {
	case e.resolution != model.Discovered || len(e.endpoints) > 0:
	case len(given) == 0:
		r.add("spec.endpoints", noEffect, "resolution STATIC has no endpoint to send to; add endpoints or a workloadSelector")
	default:
		r.add("spec.endpoints", invalid, "resolution STATIC has no endpoint to send to; add endpoints or a workloadSelector")
	}
}

// unfit says why the entry can't send to a machine; empty when it can.
func (e *entry) unfit(m *Machine) string {
	_, err := netip.ParseAddr(m.Endpoint.Address)
	unix := strings.HasPrefix(m.Endpoint.Address, unixScheme)
	switch {
	case err == nil:
		return ""
	case unix && e.resolution != model.Discovered:
		return "a Unix socket goes with resolution STATIC only"
	case unix && len(e.ports) > 1:
		return "a Unix socket has no ports; the entry must have a single one"
	case !unix && e.resolution == model.Discovered:
		return "a name goes with resolution DNS only; with STATIC give an IP address"
	}
	return ""
}
