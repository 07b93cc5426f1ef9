// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/entries"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Of lets package entries ask which mutual TLS a workload takes.
func (p *policies) Of(namespace string, labels map[string]string) (model.MTLSMode, []model.PortMTLS, []model.Problem) {
	return p.of(namespace, labels)
}

// readEntries reads what WorkloadEntries and ServiceEntries add to Services,
// and pends the services that another addition concerns.
func (b *build) readEntries() {
	p, n := b.prev, b.next
	i := &n.custom.istio
	n.machines = entries.ReadMachines(i.WorkloadEntries, i.WorkloadGroups, n.settings.Settings, n.rules, p.machines)
	if p.machines == nil || p.machines != n.machines {
		b.problemsMoved = true
	}
	for _, m := range changedMachines(p.machines, n.machines) {
		for _, row := range p.rows.in(m.Namespace) {
			if row.selects(m) {
				b.pend(row.key)
			}
		}
	}
	n.decorations = p.decorations
	if !slices.Equal(p.custom.istio.ServiceEntries, i.ServiceEntries) || p.settings == nil || p.settings.DomainSuffix != n.settings.DomainSuffix {
		n.decorations = map[key][]string{}
		for _, d := range entries.Decorations(i.ServiceEntries, n.settings.DomainSuffix) {
			n.decorations[key{d.Namespace, d.Name}] = d.Names
		}
		for k, names := range n.decorations {
			if !slices.Equal(names, p.decorations[k]) {
				b.pend(k)
			}
		}
		for k := range p.decorations {
			if n.decorations[k] == nil {
				b.pend(k)
			}
		}
	}
}

// changedMachines are those that only one of both has.
func changedMachines(old, now *entries.Machines) []*entries.Machine {
	if old == now {
		return nil
	}
	known := map[*entries.Machine]bool{}
	if old != nil {
		for _, m := range old.All {
			known[m] = true
		}
	}
	var changed []*entries.Machine
	for _, m := range now.All {
		if !known[m] {
			changed = append(changed, m)
		}
		delete(known, m)
	}
	for m := range known {
		changed = append(changed, m)
	}
	return changed
}

// selects is true when the row's Service sends to a machine.
func (r *serviceRow) selects(m *entries.Machine) bool {
	return r.service != nil && r.service.Spec.Type != corev1.ServiceTypeExternalName && selects(r.service.Spec.Selector, m.Labels)
}

// addMachines adds the WorkloadEntries that a Service selects, as it selects pods.
func (d *draft) addMachines(o *corev1.Service, at *surroundings) {
	if len(o.Spec.Selector) == 0 {
		return
	}
	for _, m := range at.machines.In(o.Namespace) {
		if !selects(o.Spec.Selector, m.Labels) {
			continue
		}
		if !isAddress(m.Endpoint.Address) {
			d.add(o, "spec.selector", NotSupported,
				"WorkloadEntry %q has the address %q, and a Service sends to IP addresses only; give it one, or select it by a ServiceEntry with resolution DNS",
				m.Name, m.Endpoint.Address)
			continue
		}
		if m.Identity != "" {
			d.service.Identities = append(d.service.Identities, m.Identity)
		}
		for i := range d.ports {
			port := &d.ports[i]
			number, ok := machinePort(o, port.Number, m)
			if !ok {
				d.add(o, portField(o, port.Number)+".targetPort", Invalid,
					"WorkloadEntry %q has no port of that name and gets nothing; add it to the entry's ports", m.Name)
				continue
			}
			d.claims = append(d.claims, entries.Claim{
				Workload: m.Name, Machine: true, By: d.service.Origin, Field: portField(o, port.Number),
				InboundPort: model.InboundPort{Port: number, Protocol: port.Protocol, Service: d.service.Hostname, ServicePort: port.Number},
			})
			if m.Ready {
				port.endpoints = append(port.endpoints, m.At(number))
			}
		}
	}
	for i := range d.ports {
		d.ports[i].endpoints = distinct(d.ports[i].endpoints)
	}
}

// machinePort is where a machine answers for a Service's port: its own port of
// the target's name, or of the Service port's name, else the target's number.
func machinePort(o *corev1.Service, number uint16, m *entries.Machine) (uint16, bool) {
	p := o.Spec.Ports[portIndex(o, number)]
	if name := p.TargetPort.StrVal; name != "" {
		return uint16(m.Ports[name]), m.Ports[name] != 0
	}
	if target := p.TargetPort.IntVal; target > 0 && target <= 65535 {
		number = uint16(target)
	}
	return m.PortFor(p.Name, number, number), true
}

// decorate adds the names that ServiceEntries of the same host give.
func (d *draft) decorate(names []string) {
	for _, name := range names {
		d.service.SubjectNames = append(d.service.SubjectNames, name)
		if strings.HasPrefix(name, "spiffe://") {
			d.service.Identities = append(d.service.Identities, name)
		}
	}
}

// buildEntries makes the services of ServiceEntries, once those of the cluster
// and of other members are known, and notes the pods that they send to.
func (b *build) buildEntries() {
	p, n := b.prev, b.next
	i := &n.custom.istio
	if len(i.ServiceEntries)+len(n.machines.All)+len(n.machines.Problems) == 0 {
		n.entries = nothingEntered
	} else {
		n.entries = entries.Build(entries.Input{
			ServiceEntries: i.ServiceEntries, Machines: n.machines, Pods: n.podRows.selectable,
			Services: n.rows.services(), Service: n.rows.service, Claims: n.rows.machineClaims(n.machines), Settings: n.settings.Settings,
		}, p.entries)
	}
	old := p.entries
	if old == nil {
		old = nothingEntered
	}
	if !sameSlice(old.Problems, n.entries.Problems) || !sameSlice(old.Workloads, n.entries.Workloads) {
		b.problemsMoved = true
	}
	if !sameSlice(old.Claims, n.entries.Claims) {
		for _, c := range slices.Concat(old.Claims, n.entries.Claims) {
			b.retargeted = append(b.retargeted, key{c.By.Namespace, c.Workload})
		}
	}
}

// nothingEntered is the output of a mesh without entries.
var nothingEntered = &entries.Output{}

// selectable are the pods of a namespace that a ServiceEntry may select.
func (r podRows) selectable(namespace string) []entries.Pod {
	at, _ := slices.BinarySearchFunc(r, namespace, func(row *podRow, ns string) int { return strings.Compare(row.pod.Namespace, ns) })
	var pods []entries.Pod
	for _, row := range r[at:] {
		if row.pod.Namespace != namespace {
			break
		}
		if f := row.facts; f != nil {
			pods = append(pods, entries.Pod{Workload: &f.workload, Labels: f.labels, Ready: f.ready, Hosted: f.hosted})
		}
	}
	return pods
}

// services are those that the rows give.
func (r serviceRows) services() iter.Seq[*model.Service] {
	return func(yield func(*model.Service) bool) {
		for _, row := range r {
			if row.state.Service != nil && !yield(row.state.Service) {
				return
			}
		}
	}
}

func (r serviceRows) service(namespace, name string) *model.Service {
	if row := r.find(key{namespace, name}); row != nil {
		return row.state.Service
	}
	return nil
}

// machineClaims are the Services' claims on machines.
func (r serviceRows) machineClaims(machines *entries.Machines) []entries.Claim {
	if len(machines.All) == 0 {
		return nil
	}
	var all []entries.Claim
	for _, row := range r {
		all = append(all, row.claims...)
	}
	return all
}

// withEntries merges the services of entries into those of the cluster: last
// when that holds the same.
func withEntries(last, local, entered []model.ServiceState) []model.ServiceState {
	if len(entered) == 0 {
		return local
	}
	all := make([]model.ServiceState, 0, len(local)+len(entered))
	for len(local) > 0 && len(entered) > 0 {
		if compareServices(local[0], entered[0]) <= 0 {
			all, local = append(all, local[0]), local[1:]
		} else {
			all, entered = append(all, entered[0]), entered[1:]
		}
	}
	all = slices.Concat(all, local, entered)
	if slices.EqualFunc(last, all, sameState) {
		return last
	}
	return all
}

// compareServices orders by hostname and namespace.
func compareServices(a, b model.ServiceState) int {
	if c := strings.Compare(string(a.Service.Hostname), string(b.Service.Hostname)); c != 0 {
		return c
	}
	return strings.Compare(a.Service.Namespace, b.Service.Namespace)
}

// withMachines merges machines into the pods of the mesh. A pod keeps its name.
func withMachines(pods, machines []*model.Workload) ([]*model.Workload, []model.Problem) {
	if len(machines) == 0 {
		return pods, nil
	}
	compare := func(a, b *model.Workload) int {
		return key{a.Namespace, a.Name}.compare(key{b.Namespace, b.Name})
	}
	all := slices.Concat(pods, machines)
	slices.SortStableFunc(all, compare)
	var problems []model.Problem
	kept := all[:0]
	for _, w := range all {
		if len(kept) > 0 && compare(kept[len(kept)-1], w) == 0 {
			problems = append(problems, problemOf("WorkloadEntry", key{w.Namespace, w.Name}, "metadata.name", Conflict,
				"a pod has the same name and keeps it, so a proxy of the entry gets no configuration of its own; rename the entry"))
			continue
		}
		kept = append(kept, w)
	}
	return kept, problems
}
