// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	internallistenerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/internal_listener/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Build makes the bootstrap. Its errors name the option to mend.
func Build(o Options) (*bootstrapv3.Bootstrap, error) {
	node, err := o.Node.Envoy()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(o.Discovery)
	if err != nil {
		return nil, fmt.Errorf("discovery address %q must be host:port: %w", o.Discovery, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, fmt.Errorf("discovery address %q has no port number", o.Discovery)
	}
	if o.DiscoveryID.IsZero() {
		return nil, fmt.Errorf("no identity of the control plane at %q: without it, that of another member would do", o.Discovery)
	}
	// Routes may hold regular expressions that are larger than Envoy's default allows.
	runtime := &structpb.Struct{Fields: map[string]*structpb.Value{"re2.max_program_size.error_level": structpb.NewNumberValue(32768)}}

	secrets, err := secretServer(o)
	if err != nil {
		return nil, err
	}
	control, err := controlPlane(o, host, uint32(number))
	if err != nil {
		return nil, err
	}
	listeners, err := staticListeners(o)
	if err != nil {
		return nil, err
	}
	overload, err := overloadManager(o)
	if err != nil {
		return nil, err
	}
	layers := []*bootstrapv3.RuntimeLayer{{Name: "static", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: runtime}}}
	if len(o.Runtime) > 0 {
		layers = append(layers, &bootstrapv3.RuntimeLayer{Name: "configured", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: runtimeValues(o.Runtime)}})
	}
	layers = append(layers, &bootstrapv3.RuntimeLayer{Name: "admin", LayerSpecifier: &bootstrapv3.RuntimeLayer_AdminLayer_{AdminLayer: &bootstrapv3.RuntimeLayer_AdminLayer{}}})
	sinks, err := statsSinks(o.Stats)
	if err != nil {
		return nil, err
	}
	// Gateways that have only a name are reached through listeners inside the proxy.
	internal, err := packed(&internallistenerv3.InternalListener{})
	if err != nil {
		return nil, err
	}
	clusters := []*clusterv3.Cluster{secrets, control, loopback("prometheus_stats", o.StatusPort), loopback("agent", o.StatusPort)}
	logs, err := o.LogService.cluster()
	if err != nil {
		return nil, err
	}
	if logs != nil {
		clusters = append(clusters, logs)
	}
	return &bootstrapv3.Bootstrap{
		Node:                node,
		Admin:               &bootstrapv3.Admin{Address: address("127.0.0.1", uint32(o.AdminPort)), ProfilePath: "/dev/null"},
		LayeredRuntime:      &bootstrapv3.LayeredRuntime{Layers: layers},
		BootstrapExtensions: []*corev3.TypedExtensionConfig{{Name: "envoy.bootstrap.internal_listener", TypedConfig: internal}},
		StatsConfig:         stats(o.Stats),
		StatsSinks:          sinks,
		StatsEviction:       &bootstrapv3.Bootstrap_StatsEvictionInterval{StatsEvictionInterval: durationpb.New(eviction)},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{
			AdsConfig: &corev3.ApiConfigSource{
				ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
				TransportApiVersion:       corev3.ApiVersion_V3,
				SetNodeOnFirstMessageOnly: true,
				GrpcServices:              []*corev3.GrpcService{grpcService(XDSCluster)},
			},
			CdsConfig: fromADS(), LdsConfig: fromADS(),
		},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Clusters:  clusters,
			Listeners: listeners,
		},
		OverloadManager: overload,
		HdsConfig:       o.Node.healthDiscovery(),
	}, nil
}

// Write puts the bootstrap where only the agent and Envoy, which have one
// user, read it. It is replaced whole.
func Write(path string, b *bootstrapv3.Bootstrap) error {
	body, err := protojson.MarshalOptions{Multiline: true, UseProtoNames: true}.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode the bootstrap: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".bootstrap-*")
	if err != nil {
		return fmt.Errorf("write the bootstrap: %w", err)
	}
	_, err = f.Write(body)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write the bootstrap: %w", err)
	}
	return nil
}

// fromADS waits for the first answer as long as it takes: a proxy without
// configuration is not ready, rather than open.
func fromADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   durationpb.New(0),
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

func grpcService(cluster string) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
		ClusterName: cluster,
	}}}
}

func address(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

func packed(m proto.Message) (*anypb.Any, error) {
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return a, nil
}
