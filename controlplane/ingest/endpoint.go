// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/entries"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// surroundings are what a service's endpoints are looked up in.
type surroundings struct {
	settings *settings
	nodes    localities
	pods     podRows
	// distribution is each namespace's annotation of traffic distribution.
	distribution map[string]string
	// machines are the WorkloadEntries, decorations what ServiceEntries add.
	machines    *entries.Machines
	decorations map[key][]string
}

// addSlices adds the endpoints of a Service's slices to the draft's ports.
func (d *draft) addSlices(o *corev1.Service, given []*discoveryv1.EndpointSlice, at *surroundings) {
	for _, s := range inFamilyOrder(o, given) {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			d.problems = append(d.problems, problem(kindEndpointSlice, s, "addressType", NotSupported,
				"endpoints that are names are left out; use addresses, or an ExternalName Service"))
			continue
		}
		for i := range s.Endpoints {
			d.addEndpoint(o, s, i, at)
		}
	}
	for _, ports := range [][]draftPort{d.ports, d.udp} {
		for i := range ports {
			ports[i].endpoints = distinct(ports[i].endpoints)
		}
	}
	slices.SortFunc(d.targets, compareTargets)
	d.targets = slices.Compact(d.targets)
}

// inFamilyOrder puts the slices of the Service's first IP family in front: a
// pod with addresses of both is one endpoint, in the first.
func inFamilyOrder(o *corev1.Service, given []*discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	if len(given) < 2 || len(o.Spec.IPFamilies) == 0 {
		return given
	}
	first := discoveryv1.AddressType(o.Spec.IPFamilies[0])
	ordered := slices.Clone(given)
	slices.SortStableFunc(ordered, func(a, b *discoveryv1.EndpointSlice) int {
		return cmp.Compare(btoi(a.AddressType != first), btoi(b.AddressType != first))
	})
	return ordered
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// addEndpoint adds endpoint i of a slice to each port that the slice serves.
func (d *draft) addEndpoint(o *corev1.Service, s *discoveryv1.EndpointSlice, i int, at *surroundings) {
	e := &s.Endpoints[i]
	address, ok := d.address(s, i)
	if !ok {
		return
	}
	pod, ok := at.podBehind(s, e, address)
	if !ok {
		return
	}
	// A certificate of a pod without a proxy is never shown.
	if pod != nil && (pod.workload.Meshed || pod.gateway) && !slices.Contains(d.service.Identities, pod.workload.Identity) {
		d.service.Identities = append(d.service.Identities, pod.workload.Identity)
	}
	ready, draining := readiness(e)
	// The slice of a pod that is being deleted will say so in a moment: callers
	// need not wait for it.
	leaving := ready && pod != nil && pod.workload.Terminating && !o.Spec.PublishNotReadyAddresses
	ready, draining = ready && !leaving, draining || leaving
	for _, p := range s.Ports {
		port := d.served(p)
		if port == nil {
			continue
		}
		number := uint16(*p.Port)
		udp := p.Protocol != nil && *p.Protocol == corev1.ProtocolUDP
		if pod.inMesh() && !udp {
			d.targets = append(d.targets, target{pod: pod.workload.Name, InboundPort: model.InboundPort{
				Port: number, Protocol: port.Protocol, Service: d.service.Hostname, ServicePort: port.Number,
			}})
		}
		if ready || draining {
			port.endpoints = append(port.endpoints, at.endpoint(s, e, pod, address.String(), number, draining))
		}
	}
}

// address is the endpoint's first address, the only one that consumers use.
func (d *draft) address(s *discoveryv1.EndpointSlice, i int) (netip.Addr, bool) {
	if len(s.Endpoints[i].Addresses) == 0 {
		return netip.Addr{}, false
	}
	text := s.Endpoints[i].Addresses[0]
	address, err := netip.ParseAddr(text)
	if err != nil {
		d.problems = append(d.problems, problem(kindEndpointSlice, s, fmt.Sprintf("endpoints[%d].addresses[0]", i), Invalid,
			"%q is no IP address; the endpoint is left out", text))
		return netip.Addr{}, false
	}
	return address.Unmap(), true
}

// served is the draft's port that a slice's port stands behind; nil when none.
func (d *draft) served(p discoveryv1.EndpointPort) *draftPort {
	if p.Port == nil || *p.Port < 1 || *p.Port > 65535 {
		return nil
	}
	ports := d.ports
	switch {
	case p.Protocol == nil || *p.Protocol == corev1.ProtocolTCP:
	case *p.Protocol == corev1.ProtocolUDP:
		ports = d.udp
	default:
		return nil
	}
	name := ""
	if p.Name != nil {
		name = *p.Name
	}
	i := slices.IndexFunc(ports, func(have draftPort) bool { return have.Name == name })
	if i < 0 {
		return nil
	}
	return &ports[i]
}

// podBehind is the pod that the endpoint refers to, or nil when it refers to
// none. False when it refers to one that is not known, or not by this address:
// then nobody can say who answers there, and a client might speak plaintext to
// a pod that has a proxy.
func (at *surroundings) podBehind(s *discoveryv1.EndpointSlice, e *discoveryv1.Endpoint, address netip.Addr) (*facts, bool) {
	ref := e.TargetRef
	if ref == nil || ref.Kind != kindPod {
		return nil, true
	}
	// A slice speaks for pods of its own namespace only.
	if ref.Namespace != "" && ref.Namespace != s.Namespace {
		return nil, false
	}
	pod := at.pods.facts(key{s.Namespace, ref.Name})
	switch {
	case pod == nil:
		return nil, false
	case ref.UID != "" && pod.workload.UID != "" && string(ref.UID) != pod.workload.UID:
		return nil, false
	case len(pod.workload.Addresses) > 0 && !slices.Contains(pod.workload.Addresses, address):
		return nil, false
	}
	return pod, true
}

// readiness: a pod that publishes not-ready addresses has ready endpoints in
// Kubernetes' own words, so nothing else needs to be asked.
func readiness(e *discoveryv1.Endpoint) (ready, draining bool) {
	is := func(b *bool) bool { return b != nil && *b }
	ready = e.Conditions.Ready == nil || *e.Conditions.Ready
	return ready, !ready && is(e.Conditions.Serving) && is(e.Conditions.Terminating)
}

func (at *surroundings) endpoint(s *discoveryv1.EndpointSlice, e *discoveryv1.Endpoint, pod *facts, address string, port uint16, draining bool) model.Endpoint {
	out := model.Endpoint{
		Address: address, Port: port, Weight: 1, Draining: draining,
		Cluster: at.settings.Cluster, Network: at.settings.Network,
	}
	if e.Hostname != nil {
		out.Hostname = *e.Hostname
	}
	if e.NodeName != nil {
		out.Node = *e.NodeName
	}
	if pod == nil {
		out.Locality = at.locality(e)
		return out
	}
	out.Locality, out.Network, out.MTLS = pod.workload.Locality, pod.workload.Network, pod.takesTLS(port)
	out.Labels = pod.labels
	if pod.inMesh() {
		out.Workload = key{s.Namespace, pod.workload.Name}.String()
	}
	return out
}

// locality of an endpoint without a pod: its node's, else its zone.
func (at *surroundings) locality(e *discoveryv1.Endpoint) model.Locality {
	if e.NodeName != nil {
		if l, ok := at.nodes.of(*e.NodeName); ok {
			return l
		}
	}
	if e.Zone != nil && *e.Zone != at.settings.Locality.Zone {
		return model.Locality{Region: at.settings.Locality.Region, Zone: *e.Zone}
	}
	return at.settings.Locality
}

// distinct removes endpoints that stand there twice, by address or, in two IP
// families, by pod. What is ready stays rather than what is draining.
func distinct(endpoints []model.Endpoint) []model.Endpoint {
	if len(endpoints) < 2 {
		return endpoints
	}
	seen := make(map[place]bool, 2*len(endpoints))
	slices.SortStableFunc(endpoints, func(a, b model.Endpoint) int { return cmp.Compare(btoi(a.Draining), btoi(b.Draining)) })
	return slices.DeleteFunc(endpoints, func(e model.Endpoint) bool {
		address, pod := place{e.Address, e.Port}, place{e.Workload, e.Port}
		if seen[address] || e.Workload != "" && seen[pod] {
			return true
		}
		seen[address], seen[pod] = true, true
		return false
	})
}

// compareEndpoints sorts by cluster, address and port.
func compareEndpoints(a, b model.Endpoint) int {
	return cmp.Or(strings.Compare(string(a.Cluster), string(b.Cluster)),
		strings.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
}
