// SPDX-License-Identifier: Apache-2.0

package model

// Scope narrows what some sidecars see and take (Istio's Sidecar). Its pointer
// changes when anything in it changes.
type Scope struct {
	Origin
	// Selector of workloads of its namespace; empty: all of the namespace, or,
	// in the root namespace, all workloads that no other Scope holds for.
	Selector Labels
	// Egress listeners; nil takes everything that is visible.
	Egress []Egress
	// Ingress listeners; nil takes the ports that services send to.
	Ingress []Ingress
	// RegistryOnly overrides Settings.OutboundRegistryOnly; nil takes it.
	RegistryOnly *bool
	// Proxy takes calls to hosts that the mesh doesn't know, unless RegistryOnly; nil for none.
	Proxy *Destination
	// Inbound limits connections to all inbound ports; nil for none.
	Inbound *ConnectionPool
}

// Egress is what a sidecar may call on a port.
type Egress struct {
	// Port that the workload calls; 0 for every port.
	Port     uint16
	Protocol Protocol
	// Bind address, or a Unix socket "unix:///path"; empty for the services' own.
	Bind string
	// NoCapture binds the port instead of taking redirected connections.
	NoCapture bool
	// AnyPort: it takes calls to every port of the hosts' HTTP services, which
	// requests name with the host (protocol HTTP_PROXY, and Unix sockets).
	AnyPort bool
	// Closed: a listener with an address of its own isn't there, and what it names
	// isn't seen on its port elsewhere either.
	Closed bool
	// Hosts that are seen: Namespace "*" for any, "~" for none, "." for the
	// caller's own; one that begins with "~" takes away. Own namespace is already
	// written out, but in the root namespace.
	Hosts []ListenerHost
}

// Ingress is a port that a sidecar takes for its workload.
type Ingress struct {
	Port     uint16
	Name     string
	Protocol Protocol
	Bind     string
	// Endpoint of the application: "127.0.0.1:port", "[::1]:port", "0.0.0.0:port"
	// (the pod's own address) or "unix:///path"; empty is the port itself.
	Endpoint    string
	TLS         *ListenerTLS
	NoCapture   bool
	Connections *ConnectionPool
	// Closed: connections to the port are.
	Closed bool
}
