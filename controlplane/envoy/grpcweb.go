// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	grpcwebv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const grpcWeb = "envoy.filters.http.grpc_web"

// GRPCWeb turns requests of gRPC-Web into gRPC and answers as they ask; all others
// pass. Optional is for listeners that services of other protocols share: it does
// nothing but on routes that ask for it by BridgesGRPCWeb.
func GRPCWeb(optional bool) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:       grpcWeb,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: Any(&grpcwebv3.GrpcWeb{})},
		Disabled:   optional,
	}
}

// BridgesGRPCWeb is what a virtual host of a port says to filters; nil for nothing.
func BridgesGRPCWeb(p model.Protocol) map[string]*anypb.Any {
	if p != model.GRPCWeb {
		return nil
	}
	// A configuration without content turns a filter on.
	return map[string]*anypb.Any{grpcWeb: Any(&routev3.FilterConfig{Config: &anypb.Any{}})}
}
