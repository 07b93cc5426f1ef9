// SPDX-License-Identifier: Apache-2.0

package eastwest

import (
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	// CheckName is the server name that checks ask for. No service has it: theirs
	// begin with "outbound_".
	CheckName = "gateway-check.isthmesh.dev"
	// checkPath is what checks request.
	checkPath = "/check"
	// checkPatience is how long a client may take that sends no request.
	checkPatience = 10 * time.Second
)

// answering is the filter chain that answers the checks of other members'
// gateways: to whoever has an identity of the mesh, and with nothing but a
// status. No policy guards it: one that lists server names would make the
// gateway look dead. It is in no access log, which it would fill.
func answering(s *model.Settings) *listenerv3.FilterChain {
	idle := durationpb.New(checkPatience)
	m := &hcmv3.HttpConnectionManager{
		StatPrefix:            "gateway_check",
		CodecType:             hcmv3.HttpConnectionManager_HTTP1,
		StreamIdleTimeout:     idle,
		RequestTimeout:        idle,
		RequestHeadersTimeout: idle,
		NormalizePath:         wrapperspb.Bool(true),
		MaxRequestHeadersKb:   wrapperspb.UInt32(8),
		GenerateRequestId:     wrapperspb.Bool(false),
		HttpFilters: []*hcmv3.HttpFilter{{
			Name:       "envoy.filters.http.router",
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: envoy.Any(&routerv3.Router{})},
		}},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			Name: CheckName,
			VirtualHosts: []*routev3.VirtualHost{{
				Name: CheckName, Domains: []string{CheckName},
				Routes: []*routev3.Route{{
					Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: checkPath}},
					Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}},
				}},
			}},
		}},
	}
	return &listenerv3.FilterChain{
		Name:             CheckName,
		FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "tls", ServerNames: []string{CheckName}},
		Filters:          []*listenerv3.Filter{envoy.HTTPManagerFilter(m)},
		TransportSocket:  envoy.ServerTLS(s.MeshTLS),
		// Who begins TLS and doesn't end it is closed.
		TransportSocketConnectTimeout: idle,
	}
}
