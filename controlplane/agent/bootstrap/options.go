// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"net/netip"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// The names that translated resources refer to.
const (
	// SDSCluster is the agent's secret server on its socket.
	SDSCluster = "sds-grpc"
	// XDSCluster is the control plane.
	XDSCluster = "xds-grpc"
	// WorkloadSecret is the workload's certificate and key.
	WorkloadSecret = "default"
	// RootSecret is what the workload's peers are verified by.
	RootSecret = "ROOTCA"
)

// Options are all that the file depends on.
type Options struct {
	Node Node
	// Discovery is "host:port" of the control plane, DiscoveryName the server
	// name to ask for.
	Discovery, DiscoveryName string
	// DiscoveryID is the identity that its certificate must have.
	DiscoveryID spiffeid.ID
	// SDSSocket is the path of the agent's secret server.
	SDSSocket string
	// AdminPort, HealthPort and MetricsPort are Envoy's; StatusPort is the
	// agent's, which HealthPort leads to.
	AdminPort, HealthPort, MetricsPort, StatusPort uint16
	// IPv6 makes the open listeners answer IPv6 too.
	IPv6 bool
	// MaxConnections from downstream; beyond it new ones are refused.
	MaxConnections uint64
	// Stats that are kept beside those that are always.
	Stats Stats
	// LogService takes access logs; the zero value is none.
	LogService LogService
	// Runtime are values of Envoy's runtime that somebody asks for.
	Runtime map[string]string
	// MaxHeap of Envoy in bytes: near it, Envoy gives memory back, and then
	// refuses work, rather than being killed. Zero means no bound.
	MaxHeap uint64
}

// Stats chooses Envoy's own statistics by name.
type Stats struct {
	Prefixes, Suffixes, Regexps []string
	// Statsd is where they are sent, too, by UDP; the zero value is nowhere.
	Statsd netip.AddrPort
}

// Node is who the proxy is.
type Node struct {
	// Type is "sidecar" or "router".
	Type string
	// Name and Namespace of the pod.
	Name, Namespace string
	Addresses       []netip.Addr
	ServiceAccount  string
	DomainSuffix    string
	// Service names the workload in traces ("app.namespace").
	Service string
	// Region, Zone and SubZone, where known.
	Region, Zone, SubZone string
	// ClusterID, Network and MeshID of the member.
	ClusterID, Network, MeshID string
	WorkloadName, Owner        string
	NodeName                   string
	Labels                     map[string]string
	DNSCapture                 bool
	// Version of the agent.
	Version string
	// ProxyConfig is the pod's as JSON, for tools.
	ProxyConfig []byte
	// Metadata is what the pod's ISTIO_META_* variables add.
	Metadata map[string]string
}
