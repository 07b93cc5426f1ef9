// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// ListenerTLS ends TLS with certificates of the listener's own, at a gateway or
// at a sidecar's ingress listener. certificates, and ca for the modes that verify
// clients, are secrets. The error says what is wrong and what mends it.
func ListenerTLS(mesh model.TLSLimits, l *model.ListenerTLS, alpn []string, certificates []*tlsv3.SdsSecretConfig, ca string) (*tlsv3.DownstreamTlsContext, error) {
	params, err := listenerParameters(mesh, l)
	if err != nil {
		return nil, err
	}
	common := &tlsv3.CommonTlsContext{TlsParams: params, AlpnProtocols: alpn, TlsCertificateSdsSecretConfigs: certificates}
	context := &tlsv3.DownstreamTlsContext{CommonTlsContext: common, RequireClientCertificate: wrapperspb.Bool(false)}
	if l.Mode != model.MutualListenerTLS && l.Mode != model.OptionalMutualTLS {
		return context, nil
	}
	validation, err := clientValidation(l)
	if err != nil {
		return nil, err
	}
	context.RequireClientCertificate = wrapperspb.Bool(l.Mode == model.MutualListenerTLS)
	verifyAnew(context)
	common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         validation,
			ValidationContextSdsSecretConfig: Credential(ca),
		},
	}
	return context, nil
}

// verifyAnew lets no session be taken up again. One that is was verified by what
// held when it began, and Envoy counts its client as not verified: policies would
// not know who calls (RouteMatch.TlsContextMatchOptions.validated).
func verifyAnew(c *tlsv3.DownstreamTlsContext) {
	c.SessionTicketKeysType = &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true}
	c.DisableStatefulSessionResumption = true
}

// SubjectName matches a subject alternative name as it is.
func SubjectName(kind tlsv3.SubjectAltNameMatcher_SanType, name string) *tlsv3.SubjectAltNameMatcher {
	return &tlsv3.SubjectAltNameMatcher{
		SanType: kind,
		Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: name}},
	}
}

var tlsVersions = map[uint16]tlsv3.TlsParameters_TlsProtocol{
	0x0301: tlsv3.TlsParameters_TLSv1_0,
	0x0302: tlsv3.TlsParameters_TLSv1_1,
	0x0303: tlsv3.TlsParameters_TLSv1_2,
	0x0304: tlsv3.TlsParameters_TLSv1_3,
}

// listenerCiphers are those of TLS 1.2 and before that Istio's Gateway names. Envoy refuses the
// whole listener for one that it doesn't know.
var listenerCiphers = []string{
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
	"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
	"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
	"ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
	"AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA",
}

// listenerParameters of TLS: the listener's, else the mesh's, else TLS 1.2 and 1.3.
func listenerParameters(mesh model.TLSLimits, l *model.ListenerTLS) (*tlsv3.TlsParameters, error) {
	p := &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2,
		TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		CipherSuites:              mesh.CipherSuites,
		EcdhCurves:                mesh.Curves,
	}
	if v, ok := tlsVersions[mesh.MinVersion]; ok {
		p.TlsMinimumProtocolVersion = v
	}
	if v, ok := tlsVersions[l.MinVersion]; ok {
		p.TlsMinimumProtocolVersion = v
	}
	if v, ok := tlsVersions[l.MaxVersion]; ok {
		p.TlsMaximumProtocolVersion = v
	}
	if p.GetTlsMinimumProtocolVersion() > p.GetTlsMaximumProtocolVersion() {
		return nil, fmt.Errorf("the lowest TLS version is above the highest; correct minProtocolVersion or maxProtocolVersion")
	}
	if len(l.CipherSuites) == 0 {
		return p, nil
	}
	p.CipherSuites = nil
	for _, c := range l.CipherSuites {
		if !slices.Contains(listenerCiphers, c) {
			return nil, fmt.Errorf("proxies know no cipher suite %q; use those that Istio's Gateway documents", c)
		}
		if !slices.Contains(p.CipherSuites, c) {
			p.CipherSuites = append(p.CipherSuites, c)
		}
	}
	return p, nil
}

// clientValidation of clients beside the CA's signature.
func clientValidation(l *model.ListenerTLS) (*tlsv3.CertificateValidationContext, error) {
	v := &tlsv3.CertificateValidationContext{}
	for _, name := range l.SubjectNames {
		for _, kind := range []tlsv3.SubjectAltNameMatcher_SanType{
			tlsv3.SubjectAltNameMatcher_DNS, tlsv3.SubjectAltNameMatcher_URI,
			tlsv3.SubjectAltNameMatcher_EMAIL, tlsv3.SubjectAltNameMatcher_IP_ADDRESS,
		} {
			v.MatchTypedSubjectAltNames = append(v.MatchTypedSubjectAltNames, SubjectName(kind, name))
		}
	}
	for _, h := range l.SPKIHashes {
		if b, err := base64.StdEncoding.DecodeString(h); err != nil || len(b) != 32 {
			return nil, fmt.Errorf("verifyCertificateSpki %q is not a SHA-256 hash in base64 (44 characters)", h)
		}
		v.VerifyCertificateSpki = append(v.VerifyCertificateSpki, h)
	}
	for _, h := range l.CertificateHashes {
		if b, err := hex.DecodeString(strings.ReplaceAll(h, ":", "")); err != nil || len(b) != 32 {
			return nil, fmt.Errorf("verifyCertificateHash %q is not a SHA-256 hash in hexadecimal (64 digits, colons allowed)", h)
		}
		v.VerifyCertificateHash = append(v.VerifyCertificateHash, h)
	}
	if l.AllowInvalidClients {
		v.TrustChainVerification = tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED
	}
	return v, nil
}
