// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"crypto/tls"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Secrets that the agent serves.
const (
	WorkloadSecret = "default"
	RootSecret     = "ROOTCA"
)

// TLSSocket names Envoy's TLS transport socket.
const TLSSocket = "envoy.transport_sockets.tls"

// Application protocols of mesh TLS. A server tells mesh TLS from an
// application's own by them, and HTTP from TCP on a port whose protocol is sniffed.
const (
	ALPNTCP    = "istio"
	ALPNHTTP1  = "istio-http/1.1"
	ALPNHTTP10 = "istio-http/1.0"
	ALPNHTTP2  = "istio-h2"
	// alpnPeer is offered by Istio's older proxies, for TCP.
	alpnPeer = "istio-peer-exchange"
)

// What servers match of the application protocols that clients offer.
var (
	MeshALPN     = []string{ALPNTCP, alpnPeer, ALPNHTTP1, ALPNHTTP10, ALPNHTTP2}
	MeshHTTPALPN = []string{ALPNHTTP1, ALPNHTTP10, ALPNHTTP2}
	MeshTCPALPN  = []string{ALPNTCP, alpnPeer}
)

// nobody is no SPIFFE ID, so no certificate of the mesh carries it. A client of
// a service without identities accepts only it: no server at all.
const nobody = "urn:isthmesh:no-identity"

// anyIdentity begins every SPIFFE ID.
const anyIdentity = "spiffe://"

// ciphers for TLS 1.2: forward secret and authenticated only.
var ciphers = []string{
	"ECDHE-ECDSA-AES256-GCM-SHA384",
	"ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-ECDSA-AES128-GCM-SHA256",
	"ECDHE-RSA-AES128-GCM-SHA256",
}

// ClientTLS is mesh mutual TLS towards a service: the server's certificate must
// carry exactly one of the identities, which are SPIFFE IDs.
func ClientTLS(limits model.TLSLimits, sni string, alpn, identities []string) *corev3.TransportSocket {
	if len(identities) == 0 {
		identities = []string{nobody}
	}
	names := make([]*tlsv3.SubjectAltNameMatcher, len(identities))
	for i, id := range identities {
		names[i] = uri(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: id}})
	}
	return &corev3.TransportSocket{Name: TLSSocket, ConfigType: &corev3.TransportSocket_TypedConfig{
		TypedConfig: Any(&tlsv3.UpstreamTlsContext{CommonTlsContext: common(limits, names, alpn), Sni: sni}),
	}}
}

// AccountTLS is mesh mutual TLS towards any service account of one namespace of a
// trust domain.
func AccountTLS(limits model.TLSLimits, sni, domain, namespace string) *corev3.TransportSocket {
	prefix := anyIdentity + domain + "/ns/" + namespace + "/sa/"
	names := []*tlsv3.SubjectAltNameMatcher{uri(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}})}
	return &corev3.TransportSocket{Name: TLSSocket, ConfigType: &corev3.TransportSocket_TypedConfig{
		TypedConfig: Any(&tlsv3.UpstreamTlsContext{CommonTlsContext: common(limits, names, nil), Sni: sni}),
	}}
}

// ServerTLS is mesh mutual TLS towards callers: any workload of the federation,
// which is whoever has a SPIFFE ID under the root.
func ServerTLS(limits model.TLSLimits) *corev3.TransportSocket {
	names := []*tlsv3.SubjectAltNameMatcher{
		uri(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: anyIdentity}}),
	}
	context := &tlsv3.DownstreamTlsContext{
		// What clients of the mesh offer is not here, so nothing is negotiated
		// with them and the HTTP version is told by the first bytes. Who offers a
		// real protocol, as gRPC libraries do, gets it.
		CommonTlsContext:         common(limits, names, []string{"h2", "http/1.1"}),
		RequireClientCertificate: wrapperspb.Bool(true),
	}
	verifyAnew(context)
	return &corev3.TransportSocket{Name: TLSSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: Any(context)}}
}

func uri(m *matcherv3.StringMatcher) *tlsv3.SubjectAltNameMatcher {
	return &tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: m}
}

func common(limits model.TLSLimits, names []*tlsv3.SubjectAltNameMatcher, alpn []string) *tlsv3.CommonTlsContext {
	return &tlsv3.CommonTlsContext{
		TlsParams:                      TLSParameters(limits, ciphers),
		AlpnProtocols:                  alpn,
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secret(WorkloadSecret)},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: names},
				ValidationContextSdsSecretConfig: secret(RootSecret),
			},
		},
	}
}

// TLSParameters are TLS 1.2 and 1.3 within limits, with these cipher suites where
// the limits name none.
func TLSParameters(limits model.TLSLimits, suites []string) *tlsv3.TlsParameters {
	p := &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2,
		TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		CipherSuites:              suites,
		EcdhCurves:                limits.Curves,
	}
	if limits.MinVersion == tls.VersionTLS13 {
		p.TlsMinimumProtocolVersion = tlsv3.TlsParameters_TLSv1_3
	}
	if len(limits.CipherSuites) > 0 {
		p.CipherSuites = limits.CipherSuites
	}
	return p
}

// secret of the agent, over its socket. Envoy waits for it for ever.
func secret(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: SDSCluster},
			}}},
		}},
		InitialFetchTimeout: durationpb.New(0),
		ResourceApiVersion:  corev3.ApiVersion_V3,
	}}
}
