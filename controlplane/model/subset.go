// SPDX-License-Identifier: Apache-2.0

package model

import "slices"

// BeyondSubset is a subset of a port's endpoints that other members serve, by
// name and labels.
type BeyondSubset struct {
	Name   string
	Labels Labels
	// Members that serve it, sorted, also those that have nobody in it at present.
	Members []ClusterID
	// Endpoints are the gateways of those in other networks, sorted as the set's;
	// each weighs what is in the subset behind it.
	Endpoints []Endpoint
}

// Equal is true when two sets say the same.
func (s *EndpointSet) Equal(o *EndpointSet) bool {
	return slices.Equal(s.Endpoints, o.Endpoints) && slices.EqualFunc(s.Beyond, o.Beyond, func(a, b BeyondSubset) bool {
		return a.Name == b.Name && a.Labels == b.Labels && slices.Equal(a.Members, b.Members) && slices.Equal(a.Endpoints, b.Endpoints)
	})
}

// Where an endpoint is, as labels of it that subsets may ask for. They are
// Istio's; source: istio.io/latest/docs/reference/config/labels.
const (
	ClusterLabel = "topology.istio.io/cluster"
	NetworkLabel = "topology.istio.io/network"
	RegionLabel  = "topology.kubernetes.io/region"
	ZoneLabel    = "topology.kubernetes.io/zone"
	SubZoneLabel = "topology.istio.io/subzone"
)

// Label of an endpoint: where it is goes before what its pod says; false when
// neither says anything.
func (e *Endpoint) Label(key string) (string, bool) {
	var known string
	switch key {
	case ClusterLabel:
		known = string(e.Cluster)
	case NetworkLabel:
		known = string(e.Network)
	case RegionLabel:
		known = e.Locality.Region
	case ZoneLabel:
		known = e.Locality.Zone
	case SubZoneLabel:
		known = e.Locality.SubZone
	case NodeLabel:
		known = e.Node
	}
	if known != "" {
		return known, true
	}
	return e.Labels.Get(key)
}

// In is true when the endpoint has every label that a subset asks for. Nothing
// is known of the labels behind a gateway but its member and network.
func (e *Endpoint) In(subset Labels) bool {
	for k, v := range subset.All() {
		if e.Gateway && k != ClusterLabel && k != NetworkLabel {
			return false
		}
		if got, ok := e.Label(k); !ok || got != v {
			return false
		}
	}
	return true
}

// ByMember is true when a subset asks for nothing but members and networks:
// then it has all or none of the endpoints behind a gateway.
func (l Labels) ByMember() bool {
	for k := range l.All() {
		if k != ClusterLabel && k != NetworkLabel {
			return false
		}
	}
	return true
}

// May is true when endpoints of a member could be in a subset with these
// labels, as far as the labels name members and networks.
func (l Labels) May(member ClusterID, network NetworkID) bool {
	for k, v := range l.All() {
		if k == ClusterLabel && v != string(member) || k == NetworkLabel && v != string(network) {
			return false
		}
	}
	return true
}
