// SPDX-License-Identifier: Apache-2.0

package model

import "net/netip"

// Service is a name that workloads call. Its pointer changes when anything in
// it changes; the coming and going of endpoints behind known identities does not.
type Service struct {
	// Hostname is canonical: reviews.shop.svc.cluster.local.
	Hostname        Hostname
	Name, Namespace string
	// Aliases are further full hostnames that mean this service, sorted, such as
	// reviews.shop.svc.clusterset.local for an exported or imported one.
	Aliases []Hostname
	// Addresses are the VIPs. A service that exists only in other members has
	// one that ingest allocates (deterministically, from 240.240.0.0/16), known
	// only to proxies and their DNS.
	Addresses []netip.Addr
	// Ranges of addresses mean the service too (ServiceEntry addresses in CIDR form).
	Ranges []netip.Prefix
	// Allocated: ingest gave it its Addresses, so a caller that doesn't ask its
	// proxy for names comes with another address (ServiceEntry without addresses).
	Allocated bool
	Kind      ServiceKind
	// ExternalName is the DNS name that a ServiceKind ExternalName points at.
	ExternalName string
	// Ports sorted by Number. UDP ports are not among them.
	Ports []Port
	// UDP ports sorted by Number. Only gateways send to them (UDPRoute).
	UDP []Port
	// Identities that may answer for this service, over all endpoints and
	// members, sorted SPIFFE IDs. Clients accept these server certificates only.
	Identities []string
	// Exported: a valid ServiceExport offers it to other members; only then the
	// east-west gateway opens.
	Exported bool
	// ExportedUnix is the ServiceExport's creation time in seconds; 0 when not exported.
	ExportedUnix int64
	// Imported: some endpoints, or all, are in other members.
	Imported bool
	// Local: a Service object exists in this member.
	Local bool
	// Origin is the object that defines it: a Service, ServiceEntry or, when only
	// other members have it, a ServiceImport.
	Origin Origin
	// Resolution says where endpoints come from.
	Resolution Resolution
	// External: it is outside the mesh (ServiceEntry MESH_EXTERNAL): no mutual TLS by itself.
	External bool
	// Visible to callers of these namespaces only.
	Visible Visibility
	// SubjectNames that external servers may show, for clients that originate
	// TLS; sorted (ServiceEntry subjectAltNames).
	SubjectNames []string
	// Labels of the object.
	Labels Labels
	// PreferClose keeps traffic in the caller's zone, then region, while there
	// are endpoints (Service spec.trafficDistribution or its annotation).
	PreferClose bool
}

// ServiceKind says how a service's endpoints are found.
type ServiceKind uint8

// The kinds of services.
const (
	// ClusterIP has a virtual address, endpoints come by EDS.
	ClusterIP ServiceKind = iota
	// Headless has none; callers reach pods by address, HTTP callers are balanced by EDS.
	Headless
	// ExternalName is an alias of a DNS name.
	ExternalName
)

// Resolution says how a proxy finds the endpoints of a service.
type Resolution uint8

// The resolutions of ServiceEntry; services of Kubernetes are Discovered.
const (
	// Discovered endpoints come by EDS (STATIC, and all of Kubernetes).
	Discovered Resolution = iota
	// AsCalled sends to the address that the caller meant (NONE).
	AsCalled
	// ByDNS looks endpoints' names up, all addresses of each (DNS).
	ByDNS
	// ByDNSRoundRobin connects to the first address (DNS_ROUND_ROBIN).
	ByDNSRoundRobin
	// ByHost looks up the host that the request names (DYNAMIC_DNS).
	ByHost
)

// Port of a service.
type Port struct {
	Name     string
	Number   uint16
	Protocol Protocol
	// Target is the port of endpoints that name none; 0 is Number (ServiceEntry targetPort).
	Target uint16
}

// Protocol of a port, from appProtocol or the port's name, as Istio selects it.
type Protocol uint8

// The protocols that are told apart. Auto is sniffed by the proxy.
const (
	Auto Protocol = iota
	HTTP
	HTTP2
	GRPC
	TCP
	TLS
	// GRPCWeb is GRPC to the application; callers may speak gRPC-Web to the port,
	// which proxies turn into gRPC.
	GRPCWeb
)

// IsHTTP is true when routes are HTTP routes.
func (p Protocol) IsHTTP() bool { return p == HTTP || p.IsHTTP2() }

// IsHTTP2 is true when the application speaks HTTP/2.
func (p Protocol) IsHTTP2() bool { return p == HTTP2 || p == GRPC || p == GRPCWeb }

func (p Protocol) String() string {
	return [...]string{"Auto", "HTTP", "HTTP2", "GRPC", "TCP", "TLS", "GRPC-WEB"}[p]
}

// NodeLabel is the name of the node, as failoverPriority asks for it.
const NodeLabel = "kubernetes.io/hostname"

// EndpointSet is who answers behind one port, sorted by Cluster, Address, Port.
type EndpointSet struct {
	Endpoints []Endpoint
	// Beyond are the subsets that other members serve, sorted by name, then labels.
	Beyond []BeyondSubset
}

// Endpoint is an address with a port behind a service.
type Endpoint struct {
	// Address is an IP, or a hostname for a gateway or an endpoint of a ServiceEntry
	// that has only that, or a Unix socket "unix:///path" (or "unix://@name").
	Address string
	Port    uint16
	// Weight is the number of ready endpoints that it stands for; 1 for a pod.
	Weight uint32
	// MTLS: it can do mesh mutual TLS, so a client with AutoMTLS must use it.
	MTLS     bool
	Locality Locality
	Network  NetworkID
	Cluster  ClusterID
	// Gateway: Address is another network's east-west gateway (SNI pass-through).
	Gateway bool
	// Hostname is the pod's hostname in a headless service (StatefulSet); or empty.
	Hostname string
	// Workload is "namespace/name" of the pod when it is in this member; or empty.
	Workload string
	// Labels of the pod or WorkloadEntry, by which subsets choose. Of an endpoint of
	// another member they are those that its member's subsets ask for; a gateway has none.
	Labels Labels
	// Node of the pod; empty for other members' endpoints.
	Node string
	// Draining: terminating but still serving; gets no new traffic unless nothing else is left.
	Draining bool
	// Unreached: a Gateway that doesn't answer this member's own gateways. It gets
	// no new traffic unless no other endpoint is left; it is never taken away.
	Unreached bool
}
