// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// merge two policies on one host. Subsets of both are there, of two with one
// name the older's. What the older leaves out as a whole the younger says; a
// BackendTLSPolicy and a DestinationRule fill each other's gaps field by field,
// the DestinationRule first.
func merge(older, younger *model.DestinationPolicy) *model.DestinationPolicy {
	out := *older
	switch {
	case older.Kind != younger.Kind:
		first, second := older, younger
		if older.Kind == "BackendTLSPolicy" {
			first, second = younger, older
		}
		out.Origin = first.Origin
		out.Policy = filled(first.Policy, second.Policy)
	case saysNothing(older.Policy):
		out.Policy = younger.Policy
	}
	out.Subsets = slices.Clone(older.Subsets)
	for _, s := range younger.Subsets {
		if subsetOf(&out, s.Name) == nil {
			out.Subsets = append(out.Subsets, s)
		}
	}
	for i := range out.Subsets {
		out.Subsets[i].Policy = filled(out.Subsets[i].Policy, out.Policy)
	}
	slices.SortFunc(out.Subsets, func(a, b model.Subset) int { return strings.Compare(a.Name, b.Name) })
	return &out
}

// subsetOf a policy, by its name; nil when there is none.
func subsetOf(p *model.DestinationPolicy, name string) *model.Subset {
	for i := range p.Subsets {
		if p.Subsets[i].Name == name {
			return &p.Subsets[i]
		}
	}
	return nil
}

// lost are the fields of the younger policy that merge leaves out, because the
// older one says something else there.
func lost(older, younger *model.DestinationPolicy) []string {
	if older.Kind != younger.Kind {
		return nil // they fill each other's gaps
	}
	var fields []string
	if !saysNothing(older.Policy) && !saysNothing(younger.Policy) && !reflect.DeepEqual(older.Policy, younger.Policy) {
		fields = append(fields, "spec.trafficPolicy")
	}
	for _, s := range younger.Subsets {
		if o := subsetOf(older, s.Name); o != nil && !reflect.DeepEqual(*o, s) {
			fields = append(fields, "spec.subsets["+s.Name+"]")
		}
	}
	return fields
}

func saysNothing(p model.TrafficPolicy) bool {
	return p.PortPolicy == (model.PortPolicy{}) && len(p.Ports) == 0 && p.Tunnel == nil && p.ProxyProtocol == 0 && p.RetryBudget == nil
}

// filled is a policy with what it leaves out taken from another one.
func filled(p, from model.TrafficPolicy) model.TrafficPolicy {
	out := p
	out.PortPolicy = filledPort(p.PortPolicy, from.PortPolicy)
	out.Tunnel = cmp.Or(p.Tunnel, from.Tunnel)
	out.ProxyProtocol = cmp.Or(p.ProxyProtocol, from.ProxyProtocol)
	out.RetryBudget = cmp.Or(p.RetryBudget, from.RetryBudget)
	if len(p.Ports) == 0 && len(from.Ports) == 0 {
		return out
	}
	// What is said of a port overrides as a whole what the same policy says of all.
	out.Ports = nil
	add := func(port uint16) {
		if !slices.ContainsFunc(out.Ports, func(q model.PortPolicy) bool { return q.Port == port }) {
			merged := filledPort(*p.On(port), *from.On(port))
			merged.Port = port
			out.Ports = append(out.Ports, merged)
		}
	}
	for _, q := range p.Ports {
		add(q.Port)
	}
	for _, q := range from.Ports {
		add(q.Port)
	}
	slices.SortFunc(out.Ports, func(a, b model.PortPolicy) int { return int(a.Port) - int(b.Port) })
	return out
}

func filledPort(p, from model.PortPolicy) model.PortPolicy {
	p.Balancer = cmp.Or(p.Balancer, from.Balancer)
	p.Connections = cmp.Or(p.Connections, from.Connections)
	p.Outliers = cmp.Or(p.Outliers, from.Outliers)
	p.TLS = cmp.Or(p.TLS, from.TLS)
	return p
}
