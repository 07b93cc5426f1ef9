// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// secretServer is the agent on its socket.
func secretServer(o Options) (*clusterv3.Cluster, error) {
	protocol, err := http2(nil)
	if err != nil {
		return nil, err
	}
	return &clusterv3.Cluster{
		Name:                          SDSCluster,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:                durationpb.New(time.Second),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptions: protocol},
		LoadAssignment: members(SDSCluster, &corev3.Address{Address: &corev3.Address_Pipe{
			Pipe: &corev3.Pipe{Path: o.SDSSocket},
		}}),
	}, nil
}

// controlPlane is reached with the workload's certificate, and known by the
// mesh's root and its identity. Its DNS name is not matched: every member's is
// the same, any member may issue it, and of several matchers Envoy wants one.
// Keepalive finds out when it is gone without a word.
func controlPlane(o Options, host string, port uint32) (*clusterv3.Cluster, error) {
	protocol, err := http2(&corev3.KeepaliveSettings{
		Interval: durationpb.New(30 * time.Second),
		Timeout:  durationpb.New(10 * time.Second),
	})
	if err != nil {
		return nil, err
	}
	out := byName(XDSCluster, address(host, port), protocol)
	out.UpstreamConnectionOptions = &clusterv3.UpstreamConnectionOptions{
		TcpKeepalive: &corev3.TcpKeepalive{KeepaliveTime: wrapperspb.UInt32(300)},
	}
	out.TransportSocket, err = mutualTLS(o.DiscoveryName, &tlsv3.CommonTlsContext{
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: &tlsv3.CertificateValidationContext{
					MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
						SanType: tlsv3.SubjectAltNameMatcher_URI,
						Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: o.DiscoveryID.String()}},
					}},
				},
				ValidationContextSdsSecretConfig: secret(RootSecret),
			},
		},
	})
	return out, err
}

// byName is a server whose addresses the DNS has.
func byName(name string, at *corev3.Address, protocol *anypb.Any) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                          name,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS},
		ConnectTimeout:                durationpb.New(5 * time.Second),
		DnsRefreshRate:                durationpb.New(5 * time.Second),
		RespectDnsTtl:                 true,
		DnsLookupFamily:               clusterv3.Cluster_ALL,
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptions: protocol},
		LoadAssignment:                members(name, at),
	}
}

// mutualTLS shows the workload's certificate, and believes whom trust says.
func mutualTLS(sni string, trust *tlsv3.CommonTlsContext) (*corev3.TransportSocket, error) {
	trust.AlpnProtocols = []string{"h2"}
	trust.TlsParams = &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3}
	trust.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{secret(WorkloadSecret)}
	tls, err := packed(&tlsv3.UpstreamTlsContext{Sni: sni, CommonTlsContext: trust})
	if err != nil {
		return nil, err
	}
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: tls},
	}, nil
}

// secret comes from the agent, over a stream of its own.
func secret(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
		ResourceApiVersion:  corev3.ApiVersion_V3,
		InitialFetchTimeout: durationpb.New(0),
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices:              []*corev3.GrpcService{grpcService(SDSCluster)},
		}},
	}}
}

// loopback is a server in the proxy's own container.
func loopback(name string, port uint16) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(250 * time.Millisecond),
		LoadAssignment:       members(name, address("127.0.0.1", uint32(port))),
	}
}

func members(cluster string, at *corev3.Address) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: at}},
		}}}},
	}
}

func http2(keepalive *corev3.KeepaliveSettings) (*anypb.Any, error) {
	return packed(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: keepalive},
				},
			},
		},
	})
}
