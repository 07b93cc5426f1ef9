// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	api "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// cipherSuites that a server may ask for, sorted.
var cipherSuites = []string{
	"AES128-GCM-SHA256", "AES128-SHA", "AES256-GCM-SHA384", "AES256-SHA", "DES-CBC3-SHA",
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA",
	"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-RSA-AES256-SHA", "ECDHE-RSA-CHACHA20-POLY1305",
}

// serverTLS of a listener that ends TLS or passes it on. The caller leaves the
// listener out when there were refusals.
func (r *reader) serverTLS(field string, t *api.ServerTLSSettings) *model.ListenerTLS {
	out := &model.ListenerTLS{
		CertificateFile: t.GetServerCertificate(), KeyFile: t.GetPrivateKey(), CAFile: t.GetCaCertificates(), CRLFile: t.GetCaCrl(),
		SubjectNames:        t.GetSubjectAltNames(),
		AllowInvalidClients: t.GetInsecureSkipVerify().GetValue(),
	}
	modes := map[api.ServerTLSSettings_TLSmode]model.ListenerTLSMode{
		api.ServerTLSSettings_PASSTHROUGH: model.PassthroughTLS, api.ServerTLSSettings_SIMPLE: model.TerminateTLS,
		api.ServerTLSSettings_MUTUAL: model.MutualListenerTLS, api.ServerTLSSettings_AUTO_PASSTHROUGH: model.AutoPassthroughTLS,
		api.ServerTLSSettings_ISTIO_MUTUAL: model.MeshListenerTLS, api.ServerTLSSettings_OPTIONAL_MUTUAL: model.OptionalMutualTLS,
	}
	mode, ok := modes[t.GetMode()]
	if !ok {
		r.refuse(field+".mode", "%d is none that is known; use SIMPLE, MUTUAL, OPTIONAL_MUTUAL, ISTIO_MUTUAL, PASSTHROUGH or AUTO_PASSTHROUGH", t.GetMode())
	}
	out.Mode = mode
	if t.GetHttpsRedirect() {
		r.refuse(field+".httpsRedirect", "only a server of plain HTTP can redirect; move it to the server of protocol HTTP")
	}
	r.serverCertificates(field, t, out)
	r.clientCertificates(field, t, out)
	out.MinVersion = r.tlsVersion(field+".minProtocolVersion", t.GetMinProtocolVersion())
	out.MaxVersion = r.tlsVersion(field+".maxProtocolVersion", t.GetMaxProtocolVersion())
	if out.MinVersion != 0 && out.MaxVersion != 0 && out.MinVersion > out.MaxVersion {
		r.refuse(field+".minProtocolVersion", "it is above maxProtocolVersion; no client could connect, lower it")
	}
	for i, suite := range t.GetCipherSuites() {
		where := at(field+".cipherSuites", i)
		switch _, known := slices.BinarySearch(cipherSuites, suite); {
		case !known:
			r.tell(where, noEffect, "%.100q is none that proxies have, and is left out; use such as ECDHE-RSA-AES256-GCM-SHA384", suite)
		case slices.Contains(out.CipherSuites, suite):
			r.tell(where, noEffect, "%q is there already; remove it here", suite)
		default:
			out.CipherSuites = append(out.CipherSuites, suite)
		}
	}
	if len(t.GetCipherSuites()) > 0 && len(out.CipherSuites) == 0 {
		r.refuse(field+".cipherSuites", "none of them is known, which would leave the defaults; name one that is")
	}
	return out
}

// tlsVersion as TLS numbers it (RFC 8446); 0 for automatic.
func (r *reader) tlsVersion(field string, v api.ServerTLSSettings_TLSProtocol) uint16 {
	switch v {
	case api.ServerTLSSettings_TLS_AUTO:
		return 0
	case api.ServerTLSSettings_TLSV1_0, api.ServerTLSSettings_TLSV1_1, api.ServerTLSSettings_TLSV1_2, api.ServerTLSSettings_TLSV1_3:
		return 0x0300 + uint16(v)
	default:
		r.refuse(field, "%d is no version that is known; use TLSV1_2 or TLSV1_3", v)
		return 0
	}
}

// serverCertificates are Secrets or files, where the mode needs them.
func (r *reader) serverCertificates(field string, t *api.ServerTLSSettings, out *model.ListenerTLS) {
	files := t.GetServerCertificate() != "" || t.GetPrivateKey() != ""
	ways := 0
	for _, there := range []bool{t.GetCredentialName() != "", len(t.GetCredentialNames()) > 0, len(t.GetTlsCertificates()) > 0, files} {
		if there {
			ways++
		}
	}
	switch out.Mode {
	case model.PassthroughTLS, model.AutoPassthroughTLS, model.MeshListenerTLS:
		if ways > 0 || t.GetCaCertificates() != "" || t.GetCaCertCredentialName() != "" {
			tell := func(field, format string, args ...any) { r.tell(field, noEffect, format, args...) }
			if out.Mode == model.MeshListenerTLS {
				tell = r.refuse
			}
			tell(field, "mode %s uses no certificates of its own; remove them, or use SIMPLE or MUTUAL", t.GetMode())
			out.CertificateFile, out.KeyFile, out.CAFile = "", "", ""
		}
		return
	}
	switch {
	case ways == 0:
		r.refuse(field, "mode %s needs a certificate; name a Secret in credentialName, or files in serverCertificate and privateKey", t.GetMode())
	case ways > 1:
		r.refuse(field, "credentialName, credentialNames, tlsCertificates and serverCertificate exclude each other; keep one")
	}
	names, where := t.GetCredentialNames(), field+".credentialNames"
	if t.GetCredentialName() != "" {
		names, where = []string{t.GetCredentialName()}, field+".credentialName"
	}
	if len(names) > 2 || len(t.GetTlsCertificates()) > 2 {
		r.refuse(field, "a server has at most two certificates, one of RSA and one of ECDSA; remove the others")
	}
	for _, name := range names {
		if c := r.credential(where, name); c != nil {
			if c.ConfigMap {
				r.refuse(where, "a ConfigMap has no key of a server; name a Secret")
			}
			out.Credentials = append(out.Credentials, *c)
		}
	}
	if files && (t.GetServerCertificate() == "" || t.GetPrivateKey() == "") {
		r.refuse(field, "serverCertificate and privateKey belong together; give both")
	}
	for i, c := range t.GetTlsCertificates() {
		at := at(field+".tlsCertificates", i)
		if c.GetServerCertificate() == "" || c.GetPrivateKey() == "" {
			r.refuse(at, "serverCertificate and privateKey belong together; give both")
			continue
		}
		if i == 0 {
			out.CertificateFile, out.KeyFile = c.GetServerCertificate(), c.GetPrivateKey()
		} else {
			out.MoreFiles = append(out.MoreFiles, model.CertificateFiles{Certificate: c.GetServerCertificate(), Key: c.GetPrivateKey()})
		}
		if c.GetCaCertificates() != "" && out.Mode == model.TerminateTLS {
			r.tell(at+".caCertificates", noEffect, "mode SIMPLE asks for no client certificate; use MUTUAL or OPTIONAL_MUTUAL, or remove it")
		} else if c.GetCaCertificates() != "" {
			if out.CAFile != "" && out.CAFile != c.GetCaCertificates() {
				r.refuse(at+".caCertificates", "another file of CA certificates is named already; a server has one")
			}
			out.CAFile = c.GetCaCertificates()
		}
	}
}

// clientCertificates are what clients must show, where the mode asks for it.
func (r *reader) clientCertificates(field string, t *api.ServerTLSSettings, out *model.ListenerTLS) {
	asks := out.Mode == model.MutualListenerTLS || out.Mode == model.OptionalMutualTLS
	if asks && len(out.Credentials) == 0 && out.CAFile == "" && t.GetCaCertCredentialName() == "" {
		r.refuse(field+".caCertificates", "mode %s needs the CA certificates of clients; name a file, or a Secret in caCertCredentialName", t.GetMode())
	}
	if out.Mode == model.TerminateTLS && out.CAFile != "" {
		r.tell(field+".caCertificates", noEffect, "mode SIMPLE asks for no client certificate; use MUTUAL or OPTIONAL_MUTUAL, or remove it")
	}
	if name := t.GetCaCertCredentialName(); name != "" {
		out.CA = r.credential(field+".caCertCredentialName", name)
		if out.CA != nil {
			out.CA.CAOnly = true
		}
	}
	for _, part := range []struct {
		name  string
		there bool
	}{
		{"subjectAltNames", len(t.GetSubjectAltNames()) > 0},
		{"verifyCertificateSpki", len(t.GetVerifyCertificateSpki()) > 0},
		{"verifyCertificateHash", len(t.GetVerifyCertificateHash()) > 0},
		{"caCrl", t.GetCaCrl() != ""},
		{"caCertCredentialName", t.GetCaCertCredentialName() != ""},
		{"insecureSkipVerify", out.AllowInvalidClients},
	} {
		// It was meant to keep somebody out, so it is no mere warning.
		if part.there && !asks && (out.Mode != model.MeshListenerTLS || part.name != "subjectAltNames") {
			r.refuse(field+"."+part.name, "mode %s asks for no client certificate, so it would check nothing; use MUTUAL, or remove it", t.GetMode())
		}
	}
	for i, spki := range t.GetVerifyCertificateSpki() {
		if sum, err := base64.StdEncoding.DecodeString(spki); err != nil || len(sum) != 32 {
			r.refuse(at(field+".verifyCertificateSpki", i), "%.100q is no SHA-256 sum in base64; it has 44 characters", spki)
			continue
		}
		out.SPKIHashes = append(out.SPKIHashes, spki)
	}
	for i, hash := range t.GetVerifyCertificateHash() {
		plain := strings.ToLower(strings.ReplaceAll(hash, ":", ""))
		if sum, err := hex.DecodeString(plain); err != nil || len(sum) != 32 {
			r.refuse(at(field+".verifyCertificateHash", i), "%.100q is no SHA-256 sum in hexadecimal; it has 64 digits, colons between pairs may be", hash)
			continue
		}
		out.CertificateHashes = append(out.CertificateHashes, plain)
	}
}
