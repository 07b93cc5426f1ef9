// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// HTTPFilter names the HTTP connection manager.
const HTTPFilter = "envoy.filters.network.http_connection_manager"

// HTTPManager is an HTTP connection manager with what every proxy of the mesh
// has in common; its caller adds a route specifier and what differs.
func HTTPManager(s *model.Settings, statPrefix string) *hcmv3.HttpConnectionManager {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix:  statPrefix,
		CodecType:   hcmv3.HttpConnectionManager_AUTO,
		AccessLog:   accessLog(s, requests),
		HttpFilters: []*hcmv3.HttpFilter{router()},
		HttpProtocolOptions: &corev3.Http1ProtocolOptions{
			// Old reverse proxies still speak it.
			AcceptHttp_10: true,
		},
		// Proxies stand between peers, none of them at the edge: the sender's
		// address comes in X-Forwarded-For, and nobody is trusted as internal.
		UseRemoteAddress:          wrapperspb.Bool(false),
		InternalAddressConfig:     nobodyInternal(),
		PreserveExternalRequestId: true,
		Proxy_100Continue:         true,
		// A stream may be idle as long as its ends like.
		StreamIdleTimeout: durationpb.New(0),
		UpgradeConfigs:    []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
	}
	normalize(m, s.PathNormalization)
	return m
}

// nobodyInternal keeps Envoy from trusting headers of clients with private
// addresses (CVE-2024-45806). A list without ranges means those; so it has one
// that no client has.
func nobodyInternal() *hcmv3.HttpConnectionManager_InternalAddressConfig {
	return &hcmv3.HttpConnectionManager_InternalAddressConfig{CidrRanges: []*corev3.CidrRange{{
		AddressPrefix: "0.0.0.0", PrefixLen: wrapperspb.UInt32(32),
	}}}
}

// HTTPManagerFilter wraps a connection manager as a network filter.
func HTTPManagerFilter(m *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return &listenerv3.Filter{Name: HTTPFilter, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: Any(m)}}
}

// RDS takes a connection manager's routes from the aggregated stream.
func RDS(name string) *hcmv3.HttpConnectionManager_Rds {
	return &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: ADS(), RouteConfigName: name}}
}

// OfferHTTP makes requests offer the application protocols of HTTP in mesh TLS,
// whatever the cluster offers: on a port whose protocol is sniffed one cluster
// serves HTTP requests and TCP connections.
func OfferHTTP() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name: "envoy.filters.http.set_filter_state",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: Any(&httpstatev3.Config{
			OnRequestHeaders: []*statev3.FilterStateValue{{
				Key:                &statev3.FilterStateValue_ObjectKey{ObjectKey: "envoy.network.application_protocols"},
				SharedWithUpstream: statev3.FilterStateValue_ONCE,
				Value: &statev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
					Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
						Specifier: &corev3.DataSource_InlineString{InlineString: ALPNHTTP1 + "," + ALPNHTTP2 + "," + ALPNTCP},
					}},
				}},
			}},
		})},
	}
}

func router() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:       "envoy.filters.http.router",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: Any(&routerv3.Router{})},
	}
}

// EveryPath matches all requests.
func EveryPath() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
}
