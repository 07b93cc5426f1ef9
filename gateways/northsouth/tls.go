// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// errNoTLS is a listener that speaks TLS and doesn't say how.
var errNoTLS = errors.New("it takes TLS and doesn't say how; give it tls with a mode and a credential")

// socket that ends TLS at a listener. A listener whose certificate can't be had
// is left out: the others on its port must not wait for it.
func (t *translation) socket(a attached, alpn []string) (*corev3.TransportSocket, error) {
	if a.listener.TLS == nil {
		return nil, errNoTLS
	}
	if a.listener.TLS.Mode == model.MeshListenerTLS {
		return t.meshSocket(a.listener.TLS)
	}
	context, err := t.downstream(a, alpn)
	if err != nil {
		return nil, err
	}
	return &corev3.TransportSocket{Name: envoy.TLSSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(context)}}, nil
}

// meshSocket is mutual TLS with the mesh's identities; with those only that are
// named, if any are.
func (t *translation) meshSocket(l *model.ListenerTLS) (*corev3.TransportSocket, error) {
	socket := envoy.ServerTLS(t.Mesh.Settings.MeshTLS)
	if len(l.SubjectNames) == 0 {
		return socket, nil
	}
	context := &tlsv3.DownstreamTlsContext{}
	if err := socket.GetTypedConfig().UnmarshalTo(context); err != nil {
		return nil, err
	}
	v := context.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext()
	v.MatchTypedSubjectAltNames = nil
	for _, name := range l.SubjectNames {
		v.MatchTypedSubjectAltNames = append(v.MatchTypedSubjectAltNames, subjectName(tlsv3.SubjectAltNameMatcher_URI, name))
	}
	return &corev3.TransportSocket{Name: envoy.TLSSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(context)}}, nil
}

func subjectName(kind tlsv3.SubjectAltNameMatcher_SanType, name string) *tlsv3.SubjectAltNameMatcher {
	return &tlsv3.SubjectAltNameMatcher{
		SanType: kind,
		Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: name}},
	}
}

// downstream TLS of a listener with certificates of its own.
func (t *translation) downstream(a attached, alpn []string) (*tlsv3.DownstreamTlsContext, error) {
	l := a.listener.TLS
	params, err := t.parameters(l)
	if err != nil {
		return nil, err
	}
	common := &tlsv3.CommonTlsContext{TlsParams: params, AlpnProtocols: alpn}
	if common.TlsCertificateSdsSecretConfigs, err = t.certificates(a); err != nil {
		return nil, err
	}
	context := &tlsv3.DownstreamTlsContext{CommonTlsContext: common, RequireClientCertificate: wrapperspb.Bool(false)}
	if l.Mode != model.MutualListenerTLS && l.Mode != model.OptionalMutualTLS {
		return context, nil
	}
	ca, err := t.authorities(a)
	if err != nil {
		return nil, err
	}
	validation, err := validation(l)
	if err != nil {
		return nil, err
	}
	context.RequireClientCertificate = wrapperspb.Bool(l.Mode == model.MutualListenerTLS && !l.AllowInvalidClients)
	// A session that is taken up again was verified by what held then.
	context.SessionTicketKeysType = &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true}
	context.DisableStatefulSessionResumption = true
	common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         validation,
			ValidationContextSdsSecretConfig: envoy.Credential(ca),
		},
	}
	return context, nil
}

// certificates of a listener. Of several those that can be had serve; the
// others are reported.
func (t *translation) certificates(a attached) ([]*tlsv3.SdsSecretConfig, error) {
	l := a.listener.TLS
	var names []string
	var failed error
	for _, r := range l.Credentials {
		name, err := t.certificate(a, r)
		if err != nil {
			failed = err
			continue
		}
		names = append(names, name)
	}
	files := slices.Clone(l.MoreFiles)
	if l.CertificateFile != "" {
		files = append([]model.CertificateFiles{{Certificate: l.CertificateFile, Key: l.KeyFile}}, files...)
	}
	for _, f := range files {
		made, err := envoy.CertificateFiles(f)
		if err := t.serve(made, err); err != nil {
			return nil, err
		}
		names = append(names, envoy.FileSecret(f))
	}
	switch {
	case len(names) == 0 && failed == nil:
		return nil, errNoTLS
	case len(names) == 0:
		return nil, failed
	case failed != nil:
		t.report(a.problem(".tls", "CredentialUnusable", "%v", failed))
	}
	var out []*tlsv3.SdsSecretConfig
	for i, name := range names {
		if !slices.Contains(names[:i], name) {
			out = append(out, envoy.Credential(name))
		}
	}
	return out, nil
}

var versions = map[uint16]tlsv3.TlsParameters_TlsProtocol{
	0x0301: tlsv3.TlsParameters_TLSv1_0,
	0x0302: tlsv3.TlsParameters_TLSv1_1,
	0x0303: tlsv3.TlsParameters_TLSv1_2,
	0x0304: tlsv3.TlsParameters_TLSv1_3,
}

// ciphers of TLS 1.2 and before that Istio's Gateway names. Envoy refuses the
// whole listener for one that it doesn't know.
var ciphers = []string{
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
	"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
	"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
	"ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
	"AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA",
}

// parameters of TLS: the listener's, else the mesh's, else TLS 1.2 and 1.3.
func (t *translation) parameters(l *model.ListenerTLS) (*tlsv3.TlsParameters, error) {
	mesh := t.Mesh.Settings.OtherTLS
	p := &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2,
		TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		CipherSuites:              mesh.CipherSuites,
		EcdhCurves:                mesh.Curves,
	}
	if v, ok := versions[mesh.MinVersion]; ok {
		p.TlsMinimumProtocolVersion = v
	}
	if v, ok := versions[l.MinVersion]; ok {
		p.TlsMinimumProtocolVersion = v
	}
	if v, ok := versions[l.MaxVersion]; ok {
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
		if !slices.Contains(ciphers, c) {
			return nil, fmt.Errorf("proxies know no cipher suite %q; use those that Istio's Gateway documents", c)
		}
		if !slices.Contains(p.CipherSuites, c) {
			p.CipherSuites = append(p.CipherSuites, c)
		}
	}
	return p, nil
}

// validation of clients beside the CA's signature.
func validation(l *model.ListenerTLS) (*tlsv3.CertificateValidationContext, error) {
	v := &tlsv3.CertificateValidationContext{}
	for _, name := range l.SubjectNames {
		for _, kind := range []tlsv3.SubjectAltNameMatcher_SanType{
			tlsv3.SubjectAltNameMatcher_DNS, tlsv3.SubjectAltNameMatcher_URI,
			tlsv3.SubjectAltNameMatcher_EMAIL, tlsv3.SubjectAltNameMatcher_IP_ADDRESS,
		} {
			v.MatchTypedSubjectAltNames = append(v.MatchTypedSubjectAltNames, subjectName(kind, name))
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
