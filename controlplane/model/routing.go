// SPDX-License-Identifier: Apache-2.0

package model

// Routing says where calls to some hosts go: a VirtualService, or one parent of
// an HTTPRoute, GRPCRoute, TLSRoute, TCPRoute or UDPRoute. Its pointer changes
// when anything in it changes.
type Routing struct {
	Origin
	// Hosts are full lower-case names, "*", or "*." and a suffix, sorted. For a
	// route whose parent is a service: that service's hostname.
	Hosts []string
	// Gateways that it is bound to, Sidecars among them, sorted. Never empty.
	Gateways []GatewayRef
	Visible  Visibility
	// ConsumerNamespace: it holds for callers in this namespace only (a route of
	// another namespace than the service that is its parent); empty for all.
	ConsumerNamespace string
	// ParentPort: it holds on this port of its parent only; 0 for all.
	ParentPort uint16
	// BySpecificity: rules of all such routings on one host are merged, the most
	// specific match first (Gateway API), instead of in the order in which they
	// are written, the oldest routing first (Istio).
	BySpecificity bool
	HTTP          []HTTPRule
	TLS           []TLSRule
	TCP           []TCPRule
	UDP           []TCPRule
}

// BoundTo is true when it holds at a gateway, or at its listener.
func (r *Routing) BoundTo(g GatewayRef) bool {
	for _, to := range r.Gateways {
		if to.Namespace == g.Namespace && to.Name == g.Name && (to.Listener == "" || g.Listener == "" || to.Listener == g.Listener) {
			return true
		}
	}
	return false
}

// Destination is one of the places that a rule sends to.
type Destination struct {
	// Host is a service's hostname, or a name that no service has.
	Host   Hostname
	Subset string
	// Port of the service; 0: its only one, or the one that was called.
	Port uint16
	// Weight among the rule's destinations; 0 gets nothing unless it is the only one.
	Weight uint32
	// Request and Response headers that are changed on the way to this destination alone.
	Headers HeaderChanges
	// Invalid says why the reference is not to be followed; its share of the
	// requests is answered with 500, and of connections is closed.
	Invalid string
}

// TLSRule sends TLS connections on by their server name, without ending them.
type TLSRule struct {
	Name string
	// Matches: one of them must hold; none holds for all hosts of the routing.
	Matches      []TLSMatch
	Destinations []Destination
}

// TLSMatch holds when everything in it holds.
type TLSMatch struct {
	// ServerNames, one of which must be asked for; may begin with "*.".
	ServerNames []string
	// DestinationSubnets in CIDR notation; one must contain the address that is called.
	DestinationSubnets []string
	Port               uint16
	From               Callers
}

// TCPRule sends connections, or datagrams, on.
type TCPRule struct {
	Name string
	// Matches: one of them must hold; none holds for all.
	Matches      []TCPMatch
	Destinations []Destination
}

// TCPMatch holds when everything in it holds.
type TCPMatch struct {
	DestinationSubnets []string
	Port               uint16
	From               Callers
}
