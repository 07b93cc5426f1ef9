// SPDX-License-Identifier: Apache-2.0

package model

// Export is what one member offers of one service. The same type is an import
// at the other members: Import adds who sends it.
type Export struct {
	Namespace, Name string
	Kind            ServiceKind
	// Ports sorted by Number.
	Ports []ExportPort
	// ServiceAccounts behind the service, sorted, "namespace/name". The importer
	// makes identities of them with the exporter's trust domain as the hub names it.
	ServiceAccounts []string
	// CreatedUnix is the ServiceExport's creation time in seconds: the oldest wins conflicts.
	CreatedUnix int64
}

// ExportPort is a port and its ready endpoints.
type ExportPort struct {
	Name     string
	Number   uint16
	Protocol Protocol
	// Zones: ready endpoints per locality, sorted. These, and the subsets', are all that crosses networks.
	Zones []ZoneCount
	// Subsets that the exporter's gateway passes connections to, sorted by name.
	Subsets []ExportSubset
	// Endpoints themselves, only for members of the same network; sorted.
	Endpoints []ExportEndpoint
}

// ExportSubset is a subset of the endpoints behind a port, as the exporter's own
// policies define it.
type ExportSubset struct {
	Name   string
	Labels Labels
	// Zones as of the port. None: the subset is served, but nobody is in it now.
	Zones []ZoneCount
}

// ZoneCount is the number of ready, mesh-capable endpoints in one locality.
type ZoneCount struct {
	Locality Locality
	Ready    uint32
}

// ExportEndpoint is one endpoint for members of the same network.
type ExportEndpoint struct {
	Address  string
	Port     uint16
	Locality Locality
	Hostname string
	MTLS     bool
	// Labels that the exporter's subsets ask for, of those that the endpoint has.
	Labels Labels
}

// Imports is everything that the hub gives one member. Members that have not
// synced yet keep their last state: silence is not deletion.
type Imports struct {
	// Members sorted by Cluster.
	Members []ImportedMember
}

// ImportedMember is another member as the hub vouches for it.
type ImportedMember struct {
	Cluster     ClusterID
	Network     NetworkID
	TrustDomain string
	Locality    Locality
	// Gateways of its network, sorted; empty while its address is not known.
	Gateways []GatewayAddress
	// Cordoned or draining members get no new traffic from other members.
	Cordoned bool
	// Services sorted by Namespace, Name.
	Services []*Export
}

// GatewayAddress is where a member's east-west gateway is reached.
type GatewayAddress struct {
	// Address is an IP or a DNS name.
	Address string
	Port    uint16
}
