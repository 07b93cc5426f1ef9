// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// VirtualHosts of one service port, as an encoded part of a route
// configuration, so that route configurations of many namespaces share it.
// Domains in without are left out: another service has them. pods are the
// hostnames behind a headless service.
func VirtualHosts(s *model.Settings, svc *model.Service, others []*model.Service, port int, pods []string, namespace string, without map[string]bool) ([]byte, error) {
	p := svc.Ports[port]
	name := envoy.ServiceRoute(p.Number, svc.Hostname)
	cluster := envoy.Outbound(p.Number, svc.Hostname)
	all := &routev3.RouteConfiguration{}
	add := func(name string, domains []string, endpoint *corev3.Metadata) {
		seen := make(map[string]bool, len(domains))
		domains = slices.DeleteFunc(domains, func(d string) bool {
			again := seen[d]
			seen[d] = true
			return again || without[d]
		})
		if len(domains) > 0 {
			all.VirtualHosts = append(all.VirtualHosts, virtualHost(name, domains, cluster, endpoint))
		}
	}
	add(name, Domains(s, svc, others, namespace), nil)
	for _, pod := range pods {
		add(pod+"."+name, PodDomains(s, svc, pod, namespace), envoy.Metadata(subsetMatch, map[string]string{podHostname: pod}))
	}
	return encode(all)
}

// PortRoutes is the route configuration that all HTTP services of one port
// share, put together of their virtual hosts.
func PortRoutes(s *model.Settings, port uint16, hosts [][]byte) (*envoy.Resource, error) {
	name := envoy.PortRoute(port)
	head, err := encode(&routev3.RouteConfiguration{Name: name})
	if err != nil {
		return nil, err
	}
	tail, err := encode(&routev3.RouteConfiguration{
		VirtualHosts:             []*routev3.VirtualHost{elsewhere(s)},
		ValidateClusters:         wrapperspb.Bool(false),
		IgnorePortInHostMatching: true,
	})
	if err != nil {
		return nil, err
	}
	parts := slices.Concat([][]byte{head}, hosts, [][]byte{tail})
	return envoy.FromBytes(name, envoy.RouteType, slices.Concat(parts...)), nil
}

// ServiceRoutes is the route configuration of a service port that is told by
// its address: whatever the host, it is this service.
func ServiceRoutes(svc *model.Service, port int) (*envoy.Resource, error) {
	p := svc.Ports[port]
	name := envoy.ServiceRoute(p.Number, svc.Hostname)
	return envoy.NewResource(name, &routev3.RouteConfiguration{
		Name:             name,
		VirtualHosts:     []*routev3.VirtualHost{virtualHost(name, []string{"*"}, envoy.Outbound(p.Number, svc.Hostname), nil)},
		ValidateClusters: wrapperspb.Bool(false),
	})
}

func virtualHost(name string, domains []string, cluster string, endpoint *corev3.Metadata) *routev3.VirtualHost {
	return &routev3.VirtualHost{
		Name:                       name,
		Domains:                    domains,
		IncludeRequestAttemptCount: true,
		ResponseHeadersToRemove:    []string{unreachedHeader},
		Routes: []*routev3.Route{{
			Name:      "default",
			Match:     envoy.EveryPath(),
			Decorator: &routev3.Decorator{Operation: name + "/*"},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster},
				Timeout:          durationpb.New(0),
				MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{
					MaxStreamDuration:    durationpb.New(0),
					GrpcTimeoutHeaderMax: durationpb.New(0),
				},
				RetryPolicy:   retries,
				MetadataMatch: endpoint,
			}},
		}},
	}
}

// retries of requests that no server can have handled; shared, read only.
var retries = &routev3.RetryPolicy{
	RetryOn:          "connect-failure,refused-stream,unavailable,cancelled,retriable-headers",
	RetriableHeaders: []*routev3.HeaderMatcher{unreached()},
	NumRetries:       wrapperspb.UInt32(2),
	RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
		Name: "envoy.retry_host_predicates.previous_hosts",
		ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{
			TypedConfig: envoy.Any(&previoushostsv3.PreviousHostsPredicate{}),
		},
	}},
	HostSelectionRetryMaxAttempts: 5,
}

// elsewhere takes requests to hosts that the mesh doesn't know.
func elsewhere(s *model.Settings) *routev3.VirtualHost {
	if s.OutboundRegistryOnly {
		return &routev3.VirtualHost{Name: "block_all", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Name:   "block_all",
			Match:  envoy.EveryPath(),
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 502}},
		}}}
	}
	return &routev3.VirtualHost{Name: "allow_any", Domains: []string{"*"}, IncludeRequestAttemptCount: true, Routes: []*routev3.Route{{
		Name:  "allow_any",
		Match: envoy.EveryPath(),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier:  &routev3.RouteAction_Cluster{Cluster: envoy.PassthroughCluster},
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
