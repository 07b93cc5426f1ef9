// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"path"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// credentialPatience is how long Envoy holds a listener or a cluster back for a
// secret of the aggregated stream. The secret comes before what refers to it;
// one that Envoy can't use must not hold back the others on its port for ever.
const credentialPatience = 10 * time.Second

// CredentialSecret is the name under which proxies are served a certificate
// with its key, or with r.CAOnly, and of a ConfigMap, the CA. The namespace is
// always in it: two namespaces never share a name.
func CredentialSecret(r model.CredentialRef) string {
	scheme, suffix := "kubernetes://", ""
	if r.ConfigMap {
		scheme = "configmap://"
	}
	if r.ConfigMap || r.CAOnly {
		suffix = "-cacert"
	}
	return scheme + r.Namespace + "/" + r.Name + suffix
}

// FileSecret is the name under which proxies are served a certificate that is
// in files of their own, and FileCASecret that of a CA file.
func FileSecret(f model.CertificateFiles) string { return "file-cert:" + f.Certificate + "~" + f.Key }

// FileCASecret is the name of a CA file, with its revocation list if there is one.
func FileCASecret(ca, crl string) string {
	if crl == "" {
		return "file-root:" + ca
	}
	return "file-root:" + ca + "~" + crl
}

// Credential is where a secret of the aggregated stream comes from.
func Credential(name string) *tlsv3.SdsSecretConfig {
	source := ADS()
	source.InitialFetchTimeout = durationpb.New(credentialPatience)
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: source}
}

// CertificateSecret is a credential's certificate with its key.
func CertificateSecret(name string, c *model.Credential) (*Resource, error) {
	t := &tlsv3.TlsCertificate{CertificateChain: inline(c.Certificate), PrivateKey: inline(c.Key.Reveal())}
	if len(c.OCSPStaple) > 0 {
		t.OcspStaple = inline(c.OCSPStaple)
	}
	return NewResource(name, &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: t}})
}

// CASecret is CA certificates, and revocation lists if there are any, in PEM.
func CASecret(name string, ca, crl []byte) (*Resource, error) {
	v := &tlsv3.CertificateValidationContext{TrustedCa: inline(ca)}
	if len(crl) > 0 {
		v.Crl = inline(crl)
	}
	return NewResource(name, &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: v}})
}

// CertificateFiles is a certificate in files of the proxy, which Envoy reads
// again when they are replaced.
func CertificateFiles(f model.CertificateFiles) (*Resource, error) {
	name := FileSecret(f)
	return NewResource(name, &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: file(f.Certificate), PrivateKey: file(f.Key),
		WatchedDirectory: &corev3.WatchedDirectory{Path: path.Dir(f.Certificate)},
	}}})
}

// CAFiles are CA certificates in a file of the proxy.
func CAFiles(ca, crl string) (*Resource, error) {
	name := FileCASecret(ca, crl)
	v := &tlsv3.CertificateValidationContext{TrustedCa: file(ca), WatchedDirectory: &corev3.WatchedDirectory{Path: path.Dir(ca)}}
	if crl != "" {
		v.Crl = file(crl)
	}
	return NewResource(name, &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: v}})
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

func file(name string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}}
}
