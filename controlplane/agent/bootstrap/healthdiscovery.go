// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// healthDiscovery lets an east-west gateway ask the control plane which gateways
// of other networks it is to check; nil for every other proxy.
func (n Node) healthDiscovery() *corev3.ApiConfigSource {
	p := model.Proxy{Type: model.ProxyType(n.Type), Labels: n.Labels}
	if !p.EastWest() {
		return nil
	}
	return &corev3.ApiConfigSource{
		ApiType:             corev3.ApiConfigSource_GRPC,
		TransportApiVersion: corev3.ApiVersion_V3,
		GrpcServices:        []*corev3.GrpcService{grpcService(XDSCluster)},
	}
}
