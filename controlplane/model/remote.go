// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"strings"
)

// Remote is another member on another network, which is called through its
// east-west gateways.
type Remote struct {
	Cluster     ClusterID
	TrustDomain string
	// Gateways sorted by address, then port.
	Gateways []GatewayAddress
}

// RemoteGateway is one gateway of another member.
type RemoteGateway struct {
	Cluster ClusterID
	GatewayAddress
}

// Compare orders by member, address, port.
func (g RemoteGateway) Compare(o RemoteGateway) int {
	return cmp.Or(strings.Compare(string(g.Cluster), string(o.Cluster)), strings.Compare(g.Address, o.Address), cmp.Compare(g.Port, o.Port))
}

// GatewayChecks say how this member's own east-west gateways find out whether
// those of other networks answer. All fields are set.
type GatewayChecks struct {
	// IntervalMillis is the longest time from the beginning of a check to that of
	// the next; TimeoutMillis, which is less, how long one may take.
	IntervalMillis, TimeoutMillis int64
	// UnhealthyThreshold is how many checks in a row fail before a gateway is out of
	// use, HealthyThreshold how many succeed before it is in use again.
	UnhealthyThreshold, HealthyThreshold uint32
}
