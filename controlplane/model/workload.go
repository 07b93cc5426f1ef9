// SPDX-License-Identifier: Apache-2.0

package model

import "net/netip"

// Workload is a pod of this member. Its pointer changes when anything in it changes.
type Workload struct {
	Name, Namespace string
	UID             string
	Addresses       []netip.Addr
	ServiceAccount  string
	// Identity is the SPIFFE ID: spiffe://<trust domain>/ns/<ns>/sa/<sa>.
	Identity string
	Node     string
	Locality Locality
	Network  NetworkID
	// Labels of the pod; never modified.
	Labels map[string]string
	// Meshed: it has a sidecar (or is a proxy itself) and takes mutual TLS.
	Meshed bool
	// MTLS is the mode that applies where PortMTLS has no entry.
	MTLS MTLSMode
	// PortMTLS holds modes of single workload ports, sorted by Port.
	PortMTLS []PortMTLS
	// Inbound are the ports that services send to on this pod, sorted by Port,
	// one per Port; the oldest service's protocol wins a conflict.
	Inbound []InboundPort
	// Terminating: its pod is being deleted.
	Terminating bool
	// Topology of a gateway, as its pod's annotation says; nil takes the mesh's.
	Topology *Topology
	// CreatedUnix is the pod's creation time in seconds; 0 when it isn't known.
	CreatedUnix int64
}

// InboundPort is a port of the pod that at least one service targets.
type InboundPort struct {
	Port     uint16
	Protocol Protocol
	// Service and ServicePort that the port belongs to (the oldest, when several).
	Service     Hostname
	ServicePort uint16
}

// PortMTLS is the mode of one workload port.
type PortMTLS struct {
	Port uint16
	Mode MTLSMode
}

// MTLSMode says which connections a workload accepts (PeerAuthentication).
type MTLSMode uint8

// The modes. Permissive is Istio's default.
const (
	Permissive MTLSMode = iota
	Strict
	Disable
)

// MTLSOn returns the mode that holds on a workload port.
func (w *Workload) MTLSOn(port uint16) MTLSMode {
	for _, p := range w.PortMTLS {
		if p.Port == port {
			return p.Mode
		}
	}
	return w.MTLS
}

// ProxyType is the first part of an Istio node id.
type ProxyType string

// The proxy types that Istio node ids name.
const (
	Sidecar ProxyType = "sidecar"
	Router  ProxyType = "router"
)

// Proxy is a connected Envoy (or agent), as its credentials, its node id and,
// for what credentials don't prove, its node metadata tell.
type Proxy struct {
	Type ProxyType
	// Name and Namespace of its pod.
	Name, Namespace string
	// Identity is the authenticated SPIFFE ID.
	Identity string
	// Addresses from the node id and metadata INSTANCE_IPS.
	Addresses []netip.Addr
	Cluster   ClusterID
	Network   NetworkID
	Locality  Locality
	// Labels of its pod as the member's own API server tells, from metadata only
	// when the pod is not known yet.
	Labels map[string]string
	// Workload is its pod in the mesh; nil when not (yet) known.
	Workload *Workload
	// DNSCapture: it answers DNS for its pod (metadata DNS_CAPTURE).
	DNSCapture bool
	// Version of the agent, as the proxy says (metadata ISTIO_VERSION).
	Version string
	// Metadata of its node whose values are text, as the proxy says; for EnvoyFilters that ask for it.
	Metadata map[string]string
}

// EastWest is true for the gateway between networks.
func (p *Proxy) EastWest() bool {
	return p.Type == Router && p.Labels["istio.io/gateway-kind"] == "east-west" || p.Type == Router && p.Labels["istio"] == "eastwestgateway"
}
