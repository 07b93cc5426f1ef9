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
	// Zones: ready endpoints per locality, sorted. This is all that crosses networks.
	Zones []ZoneCount
	// Endpoints themselves, only for members of the same network; sorted.
	Endpoints []ExportEndpoint
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
