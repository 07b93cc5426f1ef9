// SPDX-License-Identifier: Apache-2.0

package destination_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math"
	"math/big"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/envoybin"
	"github.com/isthmesh/isthmesh/test/generate"
)

// TestEnvoyTakesAllPolicies gives what random policies make of clusters to a
// real Envoy, in batches: it refuses nothing.
func TestEnvoyTakesAllPolicies(t *testing.T) {
	const batches, size = 5, 1000
	policies := generate.Policy(authority(t))
	for b := range batches {
		var batch []numbered
		for i := range size {
			batch = append(batch, numbered{i, policies.Example(b*size + i)})
		}
		err := envoybin.Validate(t, configuration(t, batch))
		if err == nil {
			continue
		}
		for len(batch) > 1 {
			half := batch[:len(batch)/2]
			if envoybin.Validate(t, configuration(t, half)) == nil {
				half = batch[len(batch)/2:]
			}
			batch = half
		}
		text, _ := json.MarshalIndent(batch[0].DestinationPolicy, "", " ")
		t.Fatalf("batch %d: %v\nof %d, %s", b, envoybin.Validate(t, configuration(t, batch)), batch[0].number, text)
	}
}

// numbered policies are applied to different targets.
type numbered struct {
	number int
	*model.DestinationPolicy
}

var protocols = []model.Protocol{model.Auto, model.HTTP, model.HTTP2, model.GRPC, model.TCP, model.TLS}

// configuration of Envoy with a cluster, a route and a listener for each policy.
func configuration(t *testing.T, policies []numbered) *bootstrapv3.Bootstrap {
	static := &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{{
		Name: "xds", LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: "xds"},
	}}}
	out := &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: "test", Cluster: "test"},
		StaticResources: static,
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{AdsConfig: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_DELTA_GRPC, TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "xds"}}}},
		}},
	}
	routes := &routev3.RouteConfiguration{Name: "all"}
	for _, policy := range policies {
		i, p := policy.number, policy.DestinationPolicy
		target := destination.Target{
			Settings: &model.Settings{AutoMTLS: true, HTTP2Upgrade: i%7 == 0, TCPKeepalive: &model.Keepalive{Probes: 3}},
			Service: &model.Service{
				Hostname: model.Hostname(fmt.Sprintf("s%d.shop.svc.cluster.local", i)), Name: fmt.Sprint("s", i), Namespace: "shop", Kind: model.ServiceKind(i % 2),
				Ports: []model.Port{{Number: uint16(80 + i%2), Protocol: protocols[i%len(protocols)]}}, External: i%5 == 0, Identities: []string{"spiffe://td/ns/shop/sa/default"},
			},
			Policy: p, SNI: "outbound_.80_._.s", Namespace: "shop", Gateway: i%3 == 0,
		}
		if i%2 == 1 {
			target.Subset = "v1"
		}
		if i%4 == 0 {
			target.ClientCertificate = &model.CredentialRef{Name: "client"}
		}
		c := base(target.Service, i%11 == 0)
		destination.Apply(c, target)
		if c.GetType() != clusterv3.Cluster_EDS {
			// Clusters of the bootstrap start before the aggregated stream that
			// secrets come by, and Envoy 1.40 crashes; dynamic ones come by the stream.
			c.TransportSocket = nil
		}
		static.Clusters = append(static.Clusters, c)
		action := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: c.GetName()}}
		if pp := target.PortPolicy(); pp != nil {
			action.HashPolicy = destination.HashPolicies(pp.Balancer)
		}
		routes.VirtualHosts = append(routes.VirtualHosts, &routev3.VirtualHost{
			Name: c.GetName(), Domains: []string{string(target.Service.Hostname)},
			Routes: []*routev3.Route{{Match: envoy.EveryPath(), Action: &routev3.Route_Route{Route: action}}},
		})
		proxy := envoy.TCPProxy(target.Settings, c.GetName())
		destination.StreamOf(target).Apply(proxy)
		static.Listeners = append(static.Listeners, listener(10000+i, envoy.TCPProxyFilter(proxy)))
		files, _, err := destination.Secrets(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) > 0 && files[0].Name == "" {
			t.Error("a secret has no name")
		}
	}
	manager := envoy.HTTPManager(&model.Settings{}, "all")
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
	static.Listeners = append(static.Listeners, listener(9999, envoy.HTTPManagerFilter(manager)))
	return out
}

func listener(port int, filter *listenerv3.Filter) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name: fmt.Sprint(port), Address: envoy.Address("127.0.0.1", uint16(port)), BindToPort: wrapperspb.Bool(false),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{filter}}},
	}
}

// base is a cluster as translators make it without any policy.
func base(svc *model.Service, gateways bool) *clusterv3.Cluster {
	p := svc.Ports[0]
	c := &clusterv3.Cluster{
		Name:                 envoy.Outbound(p.Number, svc.Hostname),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: envoy.ADS()},
		ConnectTimeout:       envoy.Milliseconds(10000),
		LbPolicy:             clusterv3.Cluster_LEAST_REQUEST,
		CircuitBreakers:      &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{MaxRetries: wrapperspb.UInt32(math.MaxUint32), TrackRemaining: true}}},
		TransportSocketMatches: []*clusterv3.Cluster_TransportSocketMatch{
			{
				Name:            "tlsMode-istio",
				Match:           &structpb.Struct{Fields: map[string]*structpb.Value{"tlsMode": structpb.NewStringValue("istio")}},
				TransportSocket: envoy.ClientTLS(model.TLSLimits{}, "sni", []string{"istio"}, svc.Identities),
			},
			{
				Name: "tlsMode-disabled", Match: &structpb.Struct{},
				TransportSocket: &corev3.TransportSocket{Name: "envoy.transport_sockets.raw_buffer", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(&rawbufferv3.RawBuffer{})}},
			},
		},
	}
	if svc.Kind == model.Headless {
		c.LbSubsetConfig = &clusterv3.Cluster_LbSubsetConfig{
			FallbackPolicy:  clusterv3.Cluster_LbSubsetConfig_ANY_ENDPOINT,
			SubsetSelectors: []*clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector{{Keys: []string{"address"}}},
		}
	}
	if p.Protocol == model.TCP || p.Protocol == model.TLS {
		return c
	}
	options := &upstreamv3.HttpProtocolOptions{}
	if p.Protocol.IsHTTP2() {
		options.UpstreamProtocolOptions = &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}},
		}}
	} else {
		options.UpstreamProtocolOptions = &upstreamv3.HttpProtocolOptions_UseDownstreamProtocolConfig{UseDownstreamProtocolConfig: &upstreamv3.HttpProtocolOptions_UseDownstreamHttpConfig{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{}, Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
		}}
	}
	if gateways {
		options.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{MaxRequestsPerConnection: wrapperspb.UInt32(32)}
		c.UpstreamConnectionOptions = &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{KeepaliveTime: wrapperspb.UInt32(30)}}
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": envoy.Any(options)}
	return c
}

// authority is a CA certificate in PEM.
func authority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
