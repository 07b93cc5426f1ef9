// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// LogServiceCluster is who takes access logs by Envoy's own protocol, where the
// mesh's configuration sends them there.
const LogServiceCluster = "envoy_accesslog_service"

// LogService takes access logs. The zero value is none.
type LogService struct {
	// Address is "host:port".
	Address string
	// MutualTLS of the mesh; plain otherwise.
	MutualTLS bool
	// Probes, Time and Interval of TCP keepalive, in seconds; 0 leaves each to the kernel.
	Probes, Time, Interval uint32
	// Keepalive even without any of them.
	Keepalive bool
}

// cluster of the service; nil for none.
func (s LogService) cluster() (*clusterv3.Cluster, error) {
	if s.Address == "" {
		return nil, nil //nolint:nilnil // there is no service
	}
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, fmt.Errorf("address %q of the access log service must be host:port: %w", s.Address, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, fmt.Errorf("address %q of the access log service has no port number", s.Address)
	}
	protocol, err := http2(nil)
	if err != nil {
		return nil, err
	}
	out := byName(LogServiceCluster, address(host, uint32(number)), protocol)
	if _, err := netip.ParseAddr(host); err == nil {
		out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	}
	if s.Keepalive {
		some := func(n uint32) *wrapperspb.UInt32Value {
			if n == 0 {
				return nil
			}
			return wrapperspb.UInt32(n)
		}
		out.UpstreamConnectionOptions = &clusterv3.UpstreamConnectionOptions{
			TcpKeepalive: &corev3.TcpKeepalive{KeepaliveProbes: some(s.Probes), KeepaliveTime: some(s.Time), KeepaliveInterval: some(s.Interval)},
		}
	}
	if !s.MutualTLS {
		return out, nil
	}
	out.TransportSocket, err = mutualTLS(host, &tlsv3.CommonTlsContext{
		ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: secret(RootSecret)},
	})
	return out, err
}
