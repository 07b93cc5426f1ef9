// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/routing"
	"github.com/isthmesh/isthmesh/controlplane/standardmetrics"
)

// VirtualHosts of one service port, as an encoded part of a route
// configuration, so that route configurations of many namespaces share it.
// Domains in without are left out: another service has them. pods are the
// hostnames behind a headless service; who calls one of them means it.
func (c Call) VirtualHosts(others []*model.Service, port int, routes []*routev3.Route, pods []string, namespace string, without map[string]bool) ([]byte, error) {
	s, svc := c.Settings, c.Service
	p := svc.Ports[port]
	name := envoy.ServiceRoute(p.Number, svc.Hostname)
	all := &routev3.RouteConfiguration{}
	add := func(name string, domains []string, routes []*routev3.Route, endpoint *corev3.Metadata) {
		seen := make(map[string]bool, len(domains))
		domains = slices.DeleteFunc(domains, func(d string) bool {
			again := seen[d]
			seen[d] = true
			return again || without[d]
		})
		if len(domains) > 0 {
			v := virtualHost(name, domains, c.routesOr(routes, port, name, endpoint))
			v.TypedPerFilterConfig = envoy.BridgesGRPCWeb(p.Protocol)
			all.VirtualHosts = append(all.VirtualHosts, v)
		}
	}
	add(name, Domains(s, svc, others, namespace), routes, nil)
	for _, pod := range pods {
		add(pod+"."+name, PodDomains(s, svc, pod, namespace), c.toPod(routes, podMatch(pod)), podMatch(pod))
	}
	return encode(all)
}

// HostRoutes is the virtual host of a host that is no service by itself but has
// routings, as an encoded part of a route configuration.
func HostRoutes(host string, port uint16, domains []string, routes []*routev3.Route) ([]byte, error) {
	name := envoy.ServiceRoute(port, model.Hostname(host))
	return encode(&routev3.RouteConfiguration{VirtualHosts: []*routev3.VirtualHost{virtualHost(name, domains, routes)}})
}

// PortRoutes is the route configuration that all HTTP services of one port
// share, put together of their virtual hosts. all: one of them takes every host.
func PortRoutes(s *model.Settings, port uint16, hosts [][]byte, all bool) (*envoy.Resource, error) {
	return putTogether(s, envoy.PortRoute(port), hosts, all, true)
}

// ServiceRoutes is the route configuration of a service port that is told by
// its address: whatever the host, it is this service.
func (c Call) ServiceRoutes(port int, routes []*routev3.Route) (*envoy.Resource, error) {
	p := c.Service.Ports[port]
	name := envoy.ServiceRoute(p.Number, c.Service.Hostname)
	host := virtualHost(name, []string{"*"}, c.routesOr(routes, port, name, nil))
	host.TypedPerFilterConfig = envoy.BridgesGRPCWeb(p.Protocol)
	return envoy.NewResource(name, &routev3.RouteConfiguration{
		Name:             name,
		VirtualHosts:     []*routev3.VirtualHost{host},
		ValidateClusters: wrapperspb.Bool(false),
		// Rules may answer with more than Envoy's 4 KiB.
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(routing.MaxBody),
	})
}

func virtualHost(name string, domains []string, routes []*routev3.Route) *routev3.VirtualHost {
	return &routev3.VirtualHost{
		Name:                       name,
		Domains:                    domains,
		IncludeRequestAttemptCount: true,
		ResponseHeadersToRemove:    []string{unreachedHeader},
		Routes:                     routes,
	}
}

// routesOr are the routes that routings made, else the one to the service
// itself; endpoint, when given, narrows its cluster down.
func (c Call) routesOr(routes []*routev3.Route, port int, name string, endpoint *corev3.Metadata) []*routev3.Route {
	if len(routes) > 0 {
		return routes
	}
	return []*routev3.Route{{
		Name:                 "default",
		Match:                envoy.EveryPath(),
		Decorator:            &routev3.Decorator{Operation: name + "/*"},
		TypedPerFilterConfig: routing.Unoffered(c.targets(port)[0].ForeignTLS()),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: envoy.Outbound(c.Service.Ports[port].Number, c.Service.Hostname)},
			Timeout:          durationpb.New(0),
			MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{
				MaxStreamDuration:    durationpb.New(0),
				GrpcTimeoutHeaderMax: durationpb.New(0),
			},
			RetryPolicy:   routing.RetryPolicy(c.Settings.Retries),
			MetadataMatch: endpoint,
			HashPolicy:    c.hash(port),
		}},
	}}
}

// elsewhere takes requests to hosts that the mesh doesn't know.
func elsewhere(s *model.Settings) *routev3.VirtualHost {
	if s.OutboundRegistryOnly {
		return &routev3.VirtualHost{Name: "block_all", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Name:     "block_all",
			Match:    envoy.EveryPath(),
			Metadata: standardmetrics.Named(envoy.BlackHoleCluster), // it goes to no cluster
			Action:   &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 502}},
		}}}
	}
	name, cluster := "allow_any", cmp.Or(s.OutboundProxy, envoy.PassthroughCluster)
	if s.OutboundByName {
		name, cluster = "allow_any_dynamic_dns", envoy.ByNameCluster
	}
	return &routev3.VirtualHost{Name: name, Domains: []string{"*"}, IncludeRequestAttemptCount: true, Routes: []*routev3.Route{{
		Name:  name,
		Match: envoy.EveryPath(),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier:  &routev3.RouteAction_Cluster{Cluster: cluster},
			Timeout:           durationpb.New(0),
			MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: durationpb.New(0)},
		}},
	}}}
}

func encode(m *routev3.RouteConfiguration) ([]byte, error) {
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshal routes %q: %w", m.GetName(), err)
	}
	return out, nil
}
