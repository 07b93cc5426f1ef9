// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Names of clusters and listeners that tools look for; they are Istio's.
const (
	PassthroughCluster        = "PassthroughCluster"
	BlackHoleCluster          = "BlackHoleCluster"
	InboundPassthroughCluster = "InboundPassthroughCluster"
	ByNameCluster             = "AllowAnyDynamicDNSCluster"
	VirtualOutbound           = "virtualOutbound"
	VirtualInbound            = "virtualInbound"
)

// Ports that a sidecar listens on itself.
const (
	OutboundPort = 15001
	InboundPort  = 15006
	EastWestPort = 15443
)

// SDSCluster is the bootstrap's cluster of the agent's secret discovery socket.
const SDSCluster = "sds-grpc"

// Outbound is the cluster of one service port as callers see it.
func Outbound(port uint16, host model.Hostname) string {
	return "outbound|" + strconv.Itoa(int(port)) + "||" + string(host)
}

// OutboundSubset is the cluster of a subset of one service port; without a
// subset it is that of the whole.
func OutboundSubset(port uint16, subset string, host model.Hostname) string {
	return "outbound|" + strconv.Itoa(int(port)) + "|" + subset + "|" + string(host)
}

// Named is the cluster, and the internal listener, of an endpoint that has a DNS
// name and no address.
func Named(host string, port uint16) string {
	return "named|" + strconv.Itoa(int(port)) + "||" + host
}

// Inbound is the cluster of one port of the proxy's own workload.
func Inbound(port uint16) string { return "inbound|" + strconv.Itoa(int(port)) + "||" }

// InboundHost is the virtual host of requests that come in for a service's port,
// by which EnvoyFilters match it.
func InboundHost(servicePort uint16) string { return "inbound|http|" + strconv.Itoa(int(servicePort)) }

// SNI names a service port in mesh TLS; it is also the name of that port's
// cluster at an east-west gateway.
func SNI(port uint16, host model.Hostname) string {
	return "outbound_." + strconv.Itoa(int(port)) + "_._." + string(host)
}

// SubsetSNI names a subset of a service port in mesh TLS; it is also the name of
// that subset's cluster at an east-west gateway. Server names know no case.
func SubsetSNI(port uint16, subset string, host model.Hostname) string {
	return "outbound_." + strconv.Itoa(int(port)) + "_." + strings.ToLower(subset) + "_." + string(host)
}

// PortListener is the outbound listener that all HTTP services of one port share.
func PortListener(port uint16) string { return "0.0.0.0_" + strconv.Itoa(int(port)) }

// AddressListener is the outbound listener of one address and port.
func AddressListener(address netip.Addr, port uint16) string {
	return address.String() + "_" + strconv.Itoa(int(port))
}

// PortRoute is the route configuration that all HTTP services of one port share.
func PortRoute(port uint16) string { return strconv.Itoa(int(port)) }

// ServiceRoute is the route configuration of one service port whose protocol is sniffed.
func ServiceRoute(port uint16, host model.Hostname) string {
	return string(host) + ":" + strconv.Itoa(int(port))
}
