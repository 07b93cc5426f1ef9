// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"
)

// ofCluster is true when a cluster's name is one that a patch is about.
func (p *Patch) ofCluster(where Where, name string) bool {
	if p.ApplyTo != "CLUSTER" || p.Operation == "ADD" || !p.in(where) {
		return false
	}
	m := p.match.Cluster
	if m == nil {
		return true
	}
	if m.Name != "" {
		return m.Name == name
	}
	// direction|port|subset|host
	parts := strings.SplitN(name, "|", 4)
	if len(parts) < 4 {
		return m.PortNumber == 0 && m.Subset == "" && m.Service == ""
	}
	port, _ := strconv.ParseUint(parts[1], 10, 16)
	return (m.PortNumber == 0 || uint64(m.PortNumber) == port) &&
		(m.Subset == "" || m.Subset == parts[2]) &&
		(m.Service == "" || m.Service == parts[3] || where == Inbound)
}

// whereIsCluster tells the direction that a cluster serves.
func whereIsCluster(gateway bool, name string) Where {
	switch {
	case gateway:
		return Gateway
	case strings.HasPrefix(name, "inbound|"), strings.HasPrefix(name, "Inbound"):
		return Inbound
	default:
		return Outbound
	}
}

// cluster with a patch applied; nil when it is removed.
func (p *Patch) cluster(c *clusterv3.Cluster) *clusterv3.Cluster {
	if p.Operation == "REMOVE" {
		return nil
	}
	value, ok := p.value.(*clusterv3.Cluster)
	if !ok || !p.merges() {
		return c
	}
	if socket := value.GetTransportSocket(); socket != nil && len(c.GetTransportSocketMatches()) > 0 {
		// What is said of TLS is said of the choices whose kind of socket it is.
		value = proto.CloneOf(value)
		value.TransportSocket = nil
		for _, choice := range c.GetTransportSocketMatches() {
			if choice.GetTransportSocket().GetName() == socket.GetName() {
				merge(choice.TransportSocket, socket, p.Operation == replaceLists)
			}
		}
	}
	merge(c, value, p.Operation == replaceLists)
	return c
}
