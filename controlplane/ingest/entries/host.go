// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// host is one service that is to be: a hostname of one namespace, and the
// entries that define it.
type host struct {
	name      model.Hostname
	namespace string
	// parts, the oldest first.
	parts []part
	// lost are addresses of the entries that Services have, sorted.
	lost []netip.Addr
	// confined: only its own namespace may see it.
	confined bool
	// address is the one that is allocated, if any.
	address  netip.Addr
	settings *model.Settings

	state    model.ServiceState
	claims   []Claim
	problems []model.Problem
}

// part is what one entry says of a host.
type part struct {
	*entry
	// chosen by the entry's selector; nil when it has none.
	chosen *selection
}

func (h *host) compare(o *host) int {
	return cmp.Or(strings.Compare(string(h.name), string(o.name)), strings.Compare(h.namespace, o.namespace))
}

// same is true when both give the same service.
func (h *host) same(o *host) bool {
	return h.settings == o.settings && h.confined == o.confined && h.address == o.address &&
		slices.Equal(h.parts, o.parts) && slices.Equal(h.lost, o.lost)
}

// wantsAddress is true when callers could not tell the host from others by address.
func (h *host) wantsAddress() bool {
	e := h.parts[0].entry
	return len(e.addresses) == 0 && len(e.ranges) == 0 && len(e.ports) > 0 && !e.fixed && e.resolution != model.AsCalled && !isWildcard(h.name)
}

// draft is a service that is being put together.
type draft struct {
	service   model.Service
	endpoints [][]model.Endpoint
	// owners of the ports: the oldest entries that have them.
	owners   []*entry
	problems []model.Problem
	claims   []Claim
}

// build makes the service. Prev is the last one of that name, or has none.
func (h *host) build(prev model.ServiceState) {
	oldest := h.parts[0].entry
	d := &draft{service: model.Service{
		Hostname: h.name, Name: oldest.Name, Namespace: h.namespace, Origin: oldest.Origin, Labels: oldest.labels,
		Addresses: slices.Clone(oldest.addresses), Ranges: slices.Clone(oldest.ranges),
		Resolution: oldest.resolution, External: oldest.external, Visible: oldest.visible,
	}}
	if h.confined {
		d.confine(oldest)
	}
	d.dropAddresses(oldest, h.lost)
	if h.address.IsValid() {
		d.service.Addresses, d.service.Allocated = []netip.Addr{h.address}, true
	}
	for i, p := range h.parts {
		if i == 0 || d.agrees(oldest, p.entry) {
			d.add(p)
		}
	}
	h.state, h.claims, h.problems = d.state(prev), d.claims, d.problems
}

// state ends the draft. Parts that say what prev says are prev's.
func (d *draft) state(prev model.ServiceState) model.ServiceState {
	slices.Sort(d.service.Identities)
	d.service.Identities = slices.Compact(d.service.Identities)
	slices.Sort(d.service.SubjectNames)
	d.service.SubjectNames = slices.Compact(d.service.SubjectNames)
	next := model.ServiceState{Service: &d.service, Endpoints: make([]*model.EndpointSet, len(d.endpoints))}
	same := prev.Service != nil && len(prev.Endpoints) == len(d.endpoints)
	for i, all := range d.endpoints {
		all = distinct(all)
		next.Endpoints[i] = &model.EndpointSet{Endpoints: all}
		if old := prev.EndpointsOf(d.service.Ports[i].Number); old != nil && slices.Equal(old.Endpoints, all) {
			next.Endpoints[i] = old
		}
		same = same && next.Endpoints[i] == prev.Endpoints[i]
	}
	if prev.Service != nil && equalService(prev.Service, next.Service) {
		next.Service = prev.Service
	}
	if same {
		next.Endpoints = prev.Endpoints
	}
	return next
}

// distinct sorts endpoints; of two at one place the first stays.
func distinct(all []model.Endpoint) []model.Endpoint {
	slices.SortStableFunc(all, func(a, b model.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), strings.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
	})
	return slices.CompactFunc(all, func(a, b model.Endpoint) bool { return a.Address == b.Address && a.Port == b.Port })
}
