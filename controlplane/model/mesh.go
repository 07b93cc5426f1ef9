// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strings"
)

// Mesh is one immutable snapshot of a member's mesh.
type Mesh struct {
	Settings *Settings
	// Services, local and imported, sorted by Service.Hostname, one per hostname.
	Services []ServiceState
	// Workloads are the pods of this member, sorted by namespace, then name.
	Workloads []*Workload
	// Problems are the objects, or parts of objects, that could not be used.
	Problems []Problem
}

// ServiceState is a service and who answers behind each of its ports.
// Endpoints[i] belongs to Service.Ports[i] and is never nil. An endpoint that
// comes or goes changes only its EndpointSet's pointer.
type ServiceState struct {
	Service   *Service
	Endpoints []*EndpointSet
}

// Service looks a service up by its canonical hostname.
func (m *Mesh) Service(h Hostname) (ServiceState, bool) {
	i, ok := slices.BinarySearchFunc(m.Services, h, func(s ServiceState, h Hostname) int {
		return strings.Compare(string(s.Service.Hostname), string(h))
	})
	if !ok {
		return ServiceState{}, false
	}
	return m.Services[i], true
}

// Workload looks a pod up by namespace and name; nil when there is none.
func (m *Mesh) Workload(namespace, name string) *Workload {
	i, ok := slices.BinarySearchFunc(m.Workloads, [2]string{namespace, name}, func(w *Workload, k [2]string) int {
		if c := strings.Compare(w.Namespace, k[0]); c != 0 {
			return c
		}
		return strings.Compare(w.Name, k[1])
	})
	if !ok {
		return nil
	}
	return m.Workloads[i]
}

// ClusterID is a member's name in the federation; Istio's cluster ID.
type ClusterID string

// NetworkID names a set of pods that reach each other directly
// (label topology.istio.io/network).
type NetworkID string

// Hostname is a lower-case DNS name without a trailing dot.
type Hostname string

// Locality is where something runs, from the well-known topology labels.
type Locality struct{ Region, Zone, SubZone string }

// Settings are the mesh-wide options of one member. They are values: nothing
// below main reads flags or the environment.
type Settings struct {
	MeshID      string
	Cluster     ClusterID
	Network     NetworkID
	TrustDomain string
	// TrustDomainAliases name this member's own identities too.
	TrustDomainAliases []string
	// RootNamespace holds mesh-wide configuration; "istio-system".
	RootNamespace string
	// DomainSuffix is the cluster's DNS suffix; "cluster.local".
	DomainSuffix string
	// Locality of this member, for workloads whose node tells none.
	Locality Locality
	// OutboundRegistryOnly refuses calls to hosts the mesh doesn't know
	// (meshConfig.outboundTrafficPolicy REGISTRY_ONLY); default is to let them pass.
	OutboundRegistryOnly bool
	// AccessLogPath is where Envoy writes its access log; empty writes none.
	AccessLogPath string
	// AccessLogFormat is Envoy's text format; empty takes Istio's default.
	AccessLogFormat string
	// AutoMTLS makes clients use mutual TLS with every endpoint that can (default true).
	AutoMTLS bool
	// ConnectTimeoutMillis to an upstream; Istio's default is 10000.
	ConnectTimeoutMillis int64
}

// Problem says which object could not be used and why. It becomes a condition
// on that object, or an event where the kind has no conditions.
type Problem struct {
	// Kind, Namespace and Name of the object.
	Kind, Namespace, Name string
	// Field is the path inside the object, such as "spec.ports[1].port".
	Field string
	// Reason is one CamelCase word, stable for machines.
	Reason string
	// Message says what is wrong and what mends it.
	Message string
}
