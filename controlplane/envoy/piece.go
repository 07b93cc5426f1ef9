// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Any packs a message deterministically. Marshalling fails on strings that are
// not UTF-8 only, and every string of the model comes out of JSON or protobuf,
// whose decoders don't let such strings in.
func Any(m proto.Message) *anypb.Any {
	out := new(anypb.Any)
	_ = anypb.MarshalFrom(out, m, proto.MarshalOptions{Deterministic: true})
	return out
}

// Address is a TCP socket address.
func Address(ip string, port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       ip,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// ADS is the source of everything that comes by the aggregated stream. Envoy
// waits for it for ever: a late answer is better than an empty one.
func ADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		InitialFetchTimeout:   durationpb.New(0),
		ResourceApiVersion:    corev3.ApiVersion_V3,
	}
}

// Milliseconds as a protobuf duration.
func Milliseconds(n int64) *durationpb.Duration {
	return durationpb.New(time.Duration(n) * time.Millisecond)
}

// Metadata is filter metadata under one namespace with string values.
func Metadata(namespace string, values map[string]string) *corev3.Metadata {
	fields := make(map[string]*structpb.Value, len(values))
	for k, v := range values {
		fields[k] = structpb.NewStringValue(v)
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{namespace: {Fields: fields}}}
}
