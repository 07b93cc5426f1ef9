// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// spiffeScheme begins an identity of the mesh among subjectAltNames.
const spiffeScheme = "spiffe://"

func (d *draft) problem(e *entry, field, reason, format string, args ...any) {
	d.problems = append(d.problems, e.Problem(field, reason, fmt.Sprintf(format, args...)))
}

// confine shows the service to its own namespace only.
func (d *draft) confine(e *entry) {
	own := model.Visibility{Limited: true, Namespaces: []string{e.Namespace}}
	if !d.service.Visible.In(e.Namespace) {
		own.Namespaces = nil
	}
	if !reflect.DeepEqual(own, d.service.Visible) {
		d.problem(e, "spec.hosts", rejected,
			"%q is a name of the cluster's own that another namespace has, so only namespace %s sees it here; use another name, or set exportTo to \".\"",
			d.service.Hostname, e.Namespace)
	}
	d.service.Visible = own
}

// dropAddresses that Services have.
func (d *draft) dropAddresses(e *entry, lost []netip.Addr) {
	for _, ip := range lost {
		d.problem(e, "spec.addresses", rejected, "%s is the address of a Service and stays that one's; remove it here", ip)
	}
	d.service.Addresses = slices.DeleteFunc(d.service.Addresses, func(ip netip.Addr) bool { return slices.Contains(lost, ip) })
}

// agrees is true when a younger entry of the same host can add to the oldest.
func (d *draft) agrees(oldest, e *entry) bool {
	switch {
	case e.resolution != oldest.resolution:
		d.problem(e, "spec.resolution", conflict, "ServiceEntry %s/%s defines %q with another resolution, is older and wins; give both the same one",
			oldest.Namespace, oldest.Name, d.service.Hostname)
		return false
	case e.external != oldest.external:
		d.problem(e, "spec.location", conflict, "ServiceEntry %s/%s defines %q with another location, is older and wins; give both the same one",
			oldest.Namespace, oldest.Name, d.service.Hostname)
		return false
	}
	if !reflect.DeepEqual(e.visible, oldest.visible) {
		d.problem(e, "spec.exportTo", conflict, "ServiceEntry %s/%s shows %q to other namespaces, is older and wins; give both the same exportTo",
			oldest.Namespace, oldest.Name, d.service.Hostname)
	}
	if !slices.Equal(e.addresses, oldest.addresses) || !slices.Equal(e.ranges, oldest.ranges) {
		d.problem(e, "spec.addresses", conflict, "ServiceEntry %s/%s gives %q other addresses, is older and wins; give both the same ones",
			oldest.Namespace, oldest.Name, d.service.Hostname)
	}
	return true
}

// add the ports, endpoints and names of an entry.
func (d *draft) add(p part) {
	d.service.SubjectNames = append(d.service.SubjectNames, p.names...)
	if !p.external {
		for _, name := range p.names {
			if strings.HasPrefix(name, spiffeScheme) {
				d.service.Identities = append(d.service.Identities, name)
			}
		}
	}
	machines := p.endpoints
	if p.chosen != nil {
		machines = p.chosen.all
	}
	if !p.external {
		for _, m := range machines {
			if m.Identity != "" {
				d.service.Identities = append(d.service.Identities, m.Identity)
			}
		}
	}
	for _, port := range p.ports {
		i, ok := d.port(p, port)
		if !ok {
			continue
		}
		if d.service.Resolution == model.ByDNSRoundRobin && len(d.endpoints[i]) > 0 {
			d.problem(p.entry, "spec.endpoints", conflict, "resolution DNS_ROUND_ROBIN takes one endpoint, and that of ServiceEntry %s/%s, which is older, serves port %d of %q; remove one of them, or use DNS in both",
				d.owners[i].Namespace, d.owners[i].Name, port.Number, d.service.Hostname)
			continue
		}
		d.endpoints[i] = append(d.endpoints[i], d.behind(p, port, machines)...)
	}
}

// port returns the place of an entry's port in the draft, where it is made when
// it isn't there; false when an older entry means another protocol by it.
func (d *draft) port(p part, port port) (int, bool) {
	i, there := slices.BinarySearchFunc(d.service.Ports, port.Number, func(q model.Port, n uint16) int { return int(q.Number) - int(n) })
	switch {
	case !there:
		d.service.Ports = slices.Insert(d.service.Ports, i, port.Port)
		d.endpoints = slices.Insert(d.endpoints, i, nil)
		d.owners = slices.Insert(d.owners, i, p.entry)
	case d.service.Ports[i].Protocol != port.Protocol:
		d.problem(p.entry, port.field+".protocol", conflict, "port %d of %q is %s here and %s in ServiceEntry %s/%s, which is older and wins; give both the same protocol",
			port.Number, d.service.Hostname, port.Protocol, d.service.Ports[i].Protocol, d.owners[i].Namespace, d.owners[i].Name)
		return 0, false
	}
	return i, true
}

// behind are the endpoints behind a port of an entry.
func (d *draft) behind(p part, port port, machines []*Machine) []model.Endpoint {
	if p.resolution == model.AsCalled || p.resolution == model.ByHost {
		return nil
	}
	if len(p.given.Spec.GetEndpoints()) == 0 && p.given.Spec.GetWorkloadSelector() == nil {
		if p.resolution == model.Discovered {
			return nil
		}
		// DNS without endpoints looks the host itself up.
		target := port.Number
		if port.Target != 0 {
			target = port.Target
		}
		return []model.Endpoint{{
			Address: string(d.service.Hostname), Port: target, Weight: 1, Cluster: p.settings.Cluster, Network: p.settings.Network,
		}}
	}
	var all []model.Endpoint
	for _, m := range machines {
		if why := p.unfit(m); why != "" {
			d.problem(p.entry, "spec.workloadSelector", invalid, "%s %q with address %q is left out: %s", m.Kind, m.Name, m.Endpoint.Address, why)
			continue
		}
		number := m.PortFor(port.Name, port.Target, port.Number)
		if p.chosen != nil && m.Endpoint.Workload != "" {
			d.claims = append(d.claims, Claim{
				Workload: m.Name, Machine: m.Kind == kindWorkloadEntry, By: p.Origin, Field: port.field,
				InboundPort: model.InboundPort{Port: number, Protocol: port.Protocol, Service: d.service.Hostname, ServicePort: port.Number},
			})
		}
		if !m.Ready {
			continue
		}
		e := m.At(number)
		e.MTLS = e.MTLS && !p.external
		all = append(all, e)
	}
	return all
}

func equalService(a, b *model.Service) bool { return reflect.DeepEqual(a, b) }
