// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// staticListeners answer the kubelet and Prometheus, who have no certificate
// of the mesh: one path each, nothing else.
func staticListeners(o Options) ([]*listenerv3.Listener, error) {
	prometheus, err := onePath(o, "prometheus_stats", o.MetricsPort, "/stats/prometheus", "prometheus_stats", EnvoyMetricsPath)
	if err != nil {
		return nil, err
	}
	health, err := onePath(o, "agent", o.HealthPort, "/healthz/ready", "agent", "")
	if err != nil {
		return nil, err
	}
	return []*listenerv3.Listener{prometheus, health}, nil
}

// EnvoyMetricsPath is where the agent answers with Envoy's metrics alone: the
// mesh's have their labels from it.
const EnvoyMetricsPath = "/stats/envoy"

func onePath(o Options, name string, port uint16, path, cluster, rewritten string) (*listenerv3.Listener, error) {
	router, err := packed(&routerv3.Router{})
	if err != nil {
		return nil, err
	}
	manager, err := packed(&hcmv3.HttpConnectionManager{
		StatPrefix: name,
		CodecType:  hcmv3.HttpConnectionManager_AUTO,
		HttpFilters: []*hcmv3.HttpFilter{{
			Name:       "envoy.filters.http.router",
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router},
		}},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			VirtualHosts: []*routev3.VirtualHost{{
				Name:    "backend",
				Domains: []string{"*"},
				Routes: []*routev3.Route{{
					Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: path}},
					Action: &routev3.Route_Route{Route: &routev3.RouteAction{
						ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster},
						PrefixRewrite:    rewritten,
						Timeout:          durationpb.New(0),
					}},
				}},
			}},
		}},
	})
	if err != nil {
		return nil, err
	}
	at := &corev3.SocketAddress{Address: "0.0.0.0", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)}}
	if o.IPv6 {
		at.Address, at.Ipv4Compat = "::", true
	}
	return &listenerv3.Listener{
		Name: name,
		// Draining counts the connections of all listeners but these, by name.
		StatPrefix: name,
		Address:    &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: at}},
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager},
		}}}},
		// Health must be told even when the limit of connections is reached.
		IgnoreGlobalConnLimit: true,
	}, nil
}
