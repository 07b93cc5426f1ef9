// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/federation/trust"
)

func TestNewRoot(t *testing.T) {
	root := newRoot(t)
	c := root.Certificate
	type facts struct {
		Subject             string
		NotBefore, NotAfter time.Time
		CA                  bool
		PathLen             int
		Usage               x509.KeyUsage
		Algorithm           x509.SignatureAlgorithm
	}
	got := facts{c.Subject.String(), c.NotBefore, c.NotAfter, c.IsCA, c.MaxPathLen, c.KeyUsage, c.SignatureAlgorithm}
	want := facts{
		"CN=shop root CA,O=Isthmesh", now.Add(-2 * time.Minute), now.Add(10 * 365 * day), true, 1,
		x509.KeyUsageCertSign | x509.KeyUsageCRLSign, x509.ECDSAWithSHA256,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("root differs (-want +got):\n%s", diff)
	}
	if bits := c.SerialNumber.BitLen(); bits != 127 {
		t.Errorf("serial has %d bits", bits)
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		t.Error(err)
	}
	wantErr(t, root.Check(now), "")
}

func TestTwoRootsShareNothing(t *testing.T) {
	a, b := newRoot(t), newRoot(t)
	if a.Key.Equal(b.Key) || a.Certificate.SerialNumber.Cmp(b.Certificate.SerialNumber) == 0 {
		t.Error("two roots share a key or a serial")
	}
}

func TestRootRefusesNegativeValidity(t *testing.T) {
	_, err := trust.NewRoot(trust.RootRequest{Federation: "shop", Validity: -time.Hour, Now: now, Rand: rand.Reader})
	wantErr(t, err, "negative")
	_, err = trust.NewRoot(trust.RootRequest{Federation: "shop", Now: now, Rand: bytes.NewReader(nil)})
	wantErr(t, err, "randomness")
}

// given is what a Secret of type kubernetes.io/tls holds.
type given struct {
	crt []byte
	key trust.Secret
}

func keyPEM(t testing.TB, kind string, key any) trust.Secret {
	t.Helper()
	var der []byte
	switch kind {
	case "PRIVATE KEY":
		der = must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))
	case "EC PRIVATE KEY":
		der = must[[]byte](t)(x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey)))
	case "RSA PRIVATE KEY":
		der = x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))
	}
	return trust.NewSecret(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func caTemplate(name string) x509.Certificate {
	return x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-day), NotAfter: now.Add(1000 * day),
		BasicConstraintsValid: true, IsCA: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign,
	}
}

func selfSigned(t testing.TB, template x509.Certificate, key crypto.Signer) authority {
	t.Helper()
	return authority{authority{&template, trust.NewPrivateKey(key)}.issue(t, template, key.Public()), trust.NewPrivateKey(key)}
}

func TestParseRoot(t *testing.T) {
	ec := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	other := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	p224 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	rsa2048 := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)

	certOf := func(key crypto.Signer, change func(*x509.Certificate)) []byte {
		template := caTemplate("corp")
		if change != nil {
			change(&template)
		}
		return trust.EncodeCertificates(selfSigned(t, template, key).cert)
	}
	corp := selfSigned(t, caTemplate("corp"), other)
	below := corp.issue(t, caTemplate("corp mesh CA"), ec.Public())
	spaces := func(b []byte) []byte { return append(append([]byte("\n# the root\n"), b...), "\n \t\r\n\n"...) }
	crlf := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) }
	params := []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n")

	for name, test := range map[string]struct {
		given
		err string
	}{
		"PKCS8EC":            {given{certOf(ec, nil), keyPEM(t, "PRIVATE KEY", ec)}, ""},
		"SEC1":               {given{certOf(ec, nil), keyPEM(t, "EC PRIVATE KEY", ec)}, ""},
		"SEC1WithParameters": {given{certOf(ec, nil), trust.NewSecret(append(params, keyPEM(t, "EC PRIVATE KEY", ec).Reveal()...))}, ""},
		"P384":               {given{certOf(p384, nil), keyPEM(t, "PRIVATE KEY", p384)}, ""},
		"PKCS1RSA":           {given{certOf(rsa2048, nil), keyPEM(t, "RSA PRIVATE KEY", rsa2048)}, ""},
		"PKCS8RSA":           {given{certOf(rsa2048, nil), keyPEM(t, "PRIVATE KEY", rsa2048)}, ""},
		"TextAround":         {given{spaces(certOf(ec, nil)), trust.NewSecret(spaces(keyPEM(t, "PRIVATE KEY", ec).Reveal()))}, ""},
		"WindowsLineEnds":    {given{crlf(certOf(ec, nil)), trust.NewSecret(crlf(keyPEM(t, "PRIVATE KEY", ec).Reveal()))}, ""},
		"IntermediateOfCorp": {given{trust.EncodeCertificates(below), keyPEM(t, "PRIVATE KEY", ec)}, ""},
		"ChainUpToCorp":      {given{trust.EncodeCertificates(below, corp.cert), keyPEM(t, "PRIVATE KEY", ec)}, ""},
		"ChainUpsideDown":    {given{trust.EncodeCertificates(corp.cert, below), keyPEM(t, "PRIVATE KEY", ec)}, "does not belong"},
		"KeyOfAnother":       {given{certOf(ec, nil), keyPEM(t, "PRIVATE KEY", other)}, "does not belong"},
		"NoCertificate":      {given{nil, keyPEM(t, "PRIVATE KEY", ec)}, "tls.crt: no certificate"},
		"NoKey":              {given{certOf(ec, nil), trust.Secret{}}, "tls.key: no private key"},
		"CertificateAsKey":   {given{certOf(ec, nil), trust.NewSecret(certOf(ec, nil))}, "tls.key: no private key"},
		"KeyAsCertificate":   {given{keyPEM(t, "PRIVATE KEY", ec).Reveal(), keyPEM(t, "PRIVATE KEY", ec)}, "not a certificate but"},
		"BrokenKey":          {given{certOf(ec, nil), trust.NewSecret([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))}, "no readable key"},
		"EncryptedKey":       {given{certOf(ec, nil), trust.NewSecret([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"))}, "encrypted"},
		"BrokenSecondBlock":  {given{append(certOf(ec, nil), "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"...), keyPEM(t, "PRIVATE KEY", ec)}, "1 of 2 PEM blocks"},
		"Leaf":               {given{certOf(ec, func(c *x509.Certificate) { c.IsCA = false }), keyPEM(t, "PRIVATE KEY", ec)}, "is not a CA"},
		"MayNotSign":         {given{certOf(ec, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), keyPEM(t, "PRIVATE KEY", ec)}, "keyCertSign"},
		"PathLengthZero":     {given{certOf(ec, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }), keyPEM(t, "PRIVATE KEY", ec)}, "path length 0"},
		"Expired":            {given{certOf(ec, func(c *x509.Certificate) { c.NotAfter = now }), keyPEM(t, "PRIVATE KEY", ec)}, "expired at 2026-11-21T12:00:00Z"},
		"NotYetValid":        {given{certOf(ec, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }), keyPEM(t, "PRIVATE KEY", ec)}, "not valid before"},
		"Ed25519":            {given{certOf(ed, nil), keyPEM(t, "PRIVATE KEY", ed)}, "neither ECDSA nor RSA"},
		"P224":               {given{certOf(p224, nil), keyPEM(t, "PRIVATE KEY", p224)}, "P-224"},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := trust.ParseRoot(test.crt, test.key, now)
			wantErr(t, err, test.err)
			if err != nil {
				if strings.Contains(err.Error(), "BEGIN") {
					t.Errorf("error quotes PEM: %v", err)
				}
				return
			}
			// A root that was accepted can do its work.
			ca := memberCA(t, root, "west", west)
			wantErr(t, trust.CheckMemberCA(ca.cert, root.Bundle(), west, now), "")
			if len(root.Bundle()) != 1 {
				t.Error("more is trusted than the root that was given")
			}
		})
	}
}

// TestConstrainedRoot: a company's CA that may only issue some names is told
// apart when a member enrols, not when its proxies refuse each other.
func TestConstrainedRoot(t *testing.T) {
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for name, test := range map[string]struct {
		change func(*x509.Certificate)
		err    string
	}{
		"OwnTrustDomains": {func(c *x509.Certificate) { c.PermittedURIDomains = []string{".shop.example"} }, ""},
		"OtherDomains":    {func(c *x509.Certificate) { c.PermittedURIDomains = []string{"corp.example"} }, `may not issue for trust domain "west.shop.example"`},
		"OtherDNSNames":   {func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"corp.example"} }, "istiod.istio-system.svc"},
		"ServersOnly":     {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, "incompatible key usage"},
	} {
		t.Run(name, func(t *testing.T) {
			template := caTemplate("corp mesh CA")
			template.PermittedDNSDomainsCritical = true
			test.change(&template)
			ca := selfSigned(t, template, key)
			root := &trust.Root{Certificate: ca.cert, Key: ca.key}
			_, err := root.SignIntermediate(trust.IntermediateRequest{
				CSR: must[[]byte](t)(trust.NewCSR(newKey(t), rand.Reader)), Member: "west", TrustDomain: west, Now: now, Rand: rand.Reader,
			})
			wantErr(t, err, test.err)
		})
	}
}

func TestRootSurvivesItsSecret(t *testing.T) {
	root := newRoot(t)
	crt, key, err := root.PEM()
	wantErr(t, err, "")
	again := must[*trust.Root](t)(trust.ParseRoot(crt, key, now))
	if !again.Certificate.Equal(root.Certificate) || !again.Key.Equal(root.Key) {
		t.Error("root changed on its way through a Secret")
	}
}
