// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// SystemCA is the file in which a proxy's image has the certificates that its
// operating system trusts.
const SystemCA = "/etc/ssl/certs/ca-certificates.crt"

// secure chooses how connections to a cluster are secured.
func secure(c *clusterv3.Cluster, t Target) []model.Problem {
	p := t.tls()
	switch {
	case p.Invalid != "":
		empty(c)
		return nil
	case p.Mode == model.DisableTLS:
		c.TransportSocketMatches, c.TransportSocket = nil, nil
	case p.Mode == model.MeshMutualTLS:
		c.TransportSocket, c.TransportSocketMatches = mesh(c, t, p), nil
	case t.ForeignTLS():
		context, problem := upstream(t, p)
		if problem != nil {
			empty(c)
			return []model.Problem{*problem}
		}
		if upgraded(c) {
			context.CommonTlsContext.AlpnProtocols = []string{"h2"}
		}
		c.TransportSocketMatches = nil
		c.TransportSocket = &corev3.TransportSocket{Name: envoy.TLSSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(context)}}
	}
	return nil
}

// mesh mutual TLS with every endpoint, whether it says that it can or not.
func mesh(c *clusterv3.Cluster, t Target, p *model.ClientTLS) *corev3.TransportSocket {
	sni, names := t.SNI, t.Service.Identities
	if p.SNI != "" {
		sni = p.SNI
	}
	switch {
	case len(p.SubjectNames) > 0:
		names = p.SubjectNames
	case len(names) == 0:
		names = t.Service.SubjectNames
	}
	alpn := []string{envoy.ALPNTCP}
	switch protocol := t.port().Protocol; {
	case upgraded(c):
		alpn = []string{envoy.ALPNHTTP2, envoy.ALPNTCP}
	case protocol == model.HTTP:
		alpn = []string{envoy.ALPNHTTP1, envoy.ALPNHTTP2, envoy.ALPNTCP}
	}
	return envoy.ClientTLS(t.Settings.MeshTLS, sni, alpn, names)
}

// upstream TLS of the policy's own.
func upstream(t Target, p *model.ClientTLS) (*tlsv3.UpstreamTlsContext, *model.Problem) {
	context := &tlsv3.CommonTlsContext{TlsParams: envoy.TLSParameters(t.Settings.OtherTLS, nil)}
	if s := clientCertificate(t, p); s != "" {
		context.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{envoy.Credential(s)}
	}
	out := &tlsv3.UpstreamTlsContext{CommonTlsContext: context, Sni: p.SNI}
	if p.Insecure {
		return out, nil
	}
	names := p.SubjectNames
	if len(names) == 0 {
		names = t.Service.SubjectNames
	}
	validation := &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: subjectNames(names)}
	if len(p.CA) > 0 {
		if err := certificates(p.CA); err != nil {
			problem := t.problem("tls.caCertificates", "InvalidCA", fmt.Sprintf("the CA certificates can't be read, so nothing is sent: %v", err))
			return nil, &problem
		}
		validation.TrustedCa = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: p.CA}}
		context.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: validation}
		return out, nil
	}
	context.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         validation,
			ValidationContextSdsSecretConfig: envoy.Credential(trusted(t, p)),
		},
	}
	return out, nil
}

// credential of a policy where the proxy may have it; nil otherwise.
func (t Target) credential(p *model.ClientTLS) *model.CredentialRef {
	if p.Credential == nil || !t.Gateway && t.Policy.Selector == "" {
		return nil
	}
	return t.resolved(p.Credential)
}

// resolved is a credential with its namespace written out.
func (t Target) resolved(r *model.CredentialRef) *model.CredentialRef {
	out := *r
	if out.Namespace == "" {
		out.Namespace = t.Namespace
	}
	return &out
}

// clientCertificate is the name of the secret with the certificate that the
// proxy shows; empty for none.
func clientCertificate(t Target, p *model.ClientTLS) string {
	switch r := t.credential(p); {
	case p.Mode == model.MutualTLS && r != nil:
		r.CAOnly = false
		return envoy.CredentialSecret(*r)
	case p.Mode == model.MutualTLS && p.CertificateFile != "":
		return envoy.FileSecret(model.CertificateFiles{Certificate: p.CertificateFile, Key: p.KeyFile})
	case t.Gateway && t.ClientCertificate != nil:
		return envoy.CredentialSecret(*t.resolved(t.ClientCertificate))
	default:
		return ""
	}
}

// trusted is the name of the secret with the CA certificates that the server's
// must come from: the system's when the policy names none.
func trusted(t Target, p *model.ClientTLS) string {
	switch r := t.credential(p); {
	case r != nil:
		r.CAOnly = true
		return envoy.CredentialSecret(*r)
	case p.CAFile != "":
		return envoy.FileCASecret(p.CAFile, p.CRLFile)
	default:
		return envoy.FileCASecret(SystemCA, p.CRLFile)
	}
}

// foreign are the HTTP options of TLS that is not the mesh's: without a server
// name in the policy the request's host is asked for, and with no names to
// verify either, the certificate must be for that host. As in Istio.
func foreign(t Target) (*corev3.UpstreamHttpProtocolOptions, bool) {
	p := t.tls()
	if !t.ForeignTLS() || p.SNI != "" {
		return nil, false
	}
	return &corev3.UpstreamHttpProtocolOptions{
		AutoSni:           true,
		AutoSanValidation: len(p.SubjectNames) == 0 && len(t.Service.SubjectNames) == 0 && !p.Insecure,
	}, true
}

// subjectNames that the server's certificate must carry one of.
func subjectNames(names []string) []*tlsv3.SubjectAltNameMatcher {
	var out []*tlsv3.SubjectAltNameMatcher
	for _, n := range names {
		kind := tlsv3.SubjectAltNameMatcher_DNS
		if strings.Contains(n, "://") || strings.HasPrefix(n, "urn:") {
			kind = tlsv3.SubjectAltNameMatcher_URI
		} else if _, err := netip.ParseAddr(n); err == nil {
			kind = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
		}
		out = append(out, &tlsv3.SubjectAltNameMatcher{
			SanType: kind,
			Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n}},
		})
	}
	return out
}

// certificates says what is wrong with certificates in PEM.
func certificates(b []byte) error {
	n := 0
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d: %w", n, err)
		}
		n++
	}
	if n == 0 {
		return fmt.Errorf("there is no certificate in PEM")
	}
	return nil
}

// announce the caller's address by the PROXY protocol before anything else.
func announce(c *clusterv3.Cluster, version uint8) {
	if version == 0 {
		return
	}
	config := &corev3.ProxyProtocolConfig{Version: corev3.ProxyProtocolConfig_V1}
	if version == 2 {
		config.Version = corev3.ProxyProtocolConfig_V2
	}
	wrap := func(s *corev3.TransportSocket) *corev3.TransportSocket {
		if s == nil {
			s = &corev3.TransportSocket{
				Name:       "envoy.transport_sockets.raw_buffer",
				ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: envoy.Any(&rawbufferv3.RawBuffer{})},
			}
		}
		return &corev3.TransportSocket{
			Name: "envoy.transport_sockets.upstream_proxy_protocol",
			ConfigType: &corev3.TransportSocket_TypedConfig{
				TypedConfig: envoy.Any(&proxyprotocolv3.ProxyProtocolUpstreamTransport{Config: config, TransportSocket: s}),
			},
		}
	}
	for _, m := range c.GetTransportSocketMatches() {
		m.TransportSocket = wrap(m.GetTransportSocket())
	}
	if len(c.GetTransportSocketMatches()) == 0 {
		c.TransportSocket = wrap(c.GetTransportSocket())
	}
}

// Secrets that proxies under a policy refer to by name: files, which they are
// served as resources, and credentials, which are fetched. Both sorted by name.
func Secrets(p *model.DestinationPolicy) (files []*envoy.Resource, credentials []model.CredentialRef, err error) {
	byName := map[string]func() (*envoy.Resource, error){}
	add := func(ports []model.PortPolicy) {
		for i := range ports {
			s := ports[i].TLS
			if s == nil || s.Mode != model.SimpleTLS && s.Mode != model.MutualTLS {
				continue
			}
			if s.Credential != nil && !slices.Contains(credentials, *s.Credential) {
				credentials = append(credentials, *s.Credential)
			}
			if s.Mode == model.MutualTLS && s.CertificateFile != "" {
				f := model.CertificateFiles{Certificate: s.CertificateFile, Key: s.KeyFile}
				byName[envoy.FileSecret(f)] = func() (*envoy.Resource, error) { return envoy.CertificateFiles(f) }
			}
			ca, crl := s.CAFile, s.CRLFile
			if ca == "" {
				ca = SystemCA
			}
			byName[envoy.FileCASecret(ca, crl)] = func() (*envoy.Resource, error) { return envoy.CAFiles(ca, crl) }
		}
	}
	for _, policy := range append([]model.TrafficPolicy{p.Policy}, subsets(p)...) {
		add([]model.PortPolicy{policy.PortPolicy})
		add(policy.Ports)
	}
	for _, name := range sortedKeys(byName) {
		r, err := byName[name]()
		if err != nil {
			return nil, nil, err
		}
		files = append(files, r)
	}
	slices.SortFunc(credentials, func(a, b model.CredentialRef) int {
		return strings.Compare(envoy.CredentialSecret(a), envoy.CredentialSecret(b))
	})
	return files, credentials, nil
}
