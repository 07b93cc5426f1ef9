// SPDX-License-Identifier: Apache-2.0

package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// issued is a CA that somebody made by hand.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func byHand(t testing.TB, name string, key crypto.Signer, parent *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * day),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(template)
	}
	if parent == nil {
		parent = &issued{template, key}
	}
	return &issued{parse(t, must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key))), key}
}

func keyPEM(t testing.TB, kind string, key any) []byte {
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
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestLoadCACerts(t *testing.T) {
	ec, other := ecKey(t), ecKey(t)
	rsa2048 := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	p521 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	root := byHand(t, "root", other, nil, nil)
	second := byHand(t, "second root", ecKey(t), nil, nil)
	middle := byHand(t, "middle", ecKey(t), root, nil)
	signing := byHand(t, "west", ec, root, nil)
	deep := byHand(t, "west", ec, middle, nil)
	expiredRoot := byHand(t, "old root", ecKey(t), nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	cert := func(c ...*issued) (out []byte) {
		for _, i := range c {
			out = append(out, trust.EncodeCertificates(i.cert)...)
		}
		return out
	}
	good := map[string][]byte{
		"ca-cert.pem": cert(signing), "ca-key.pem": keyPEM(t, "EC PRIVATE KEY", ec), "root-cert.pem": cert(root), "cert-chain.pem": cert(signing, root),
	}
	with := func(changes map[string][]byte) map[string][]byte {
		out := maps.Clone(good)
		maps.Copy(out, changes)
		maps.DeleteFunc(out, func(_ string, v []byte) bool { return v == nil })
		return out
	}
	type data = map[string][]byte

	for name, test := range map[string]struct {
		data  data
		shown int // certificates beside the leaf
		roots int
		err   string
	}{
		"AsIstiosToolsWrite": {good, 1, 1, ""},
		"NoChain":            {with(data{"cert-chain.pem": nil}), 1, 1, ""},
		"ChainWithoutRoot":   {with(data{"cert-chain.pem": cert(signing)}), 1, 1, ""},
		"ChainInAnyOrder":    {with(data{"ca-cert.pem": cert(deep), "cert-chain.pem": cert(root, middle, deep)}), 2, 1, ""},
		"ChainInCACert":      {with(data{"ca-cert.pem": cert(deep, middle), "cert-chain.pem": nil}), 2, 1, ""},
		"TwoRoots":           {with(data{"root-cert.pem": cert(second, root, root)}), 1, 2, ""},
		"PKCS8":              {with(data{"ca-key.pem": keyPEM(t, "PRIVATE KEY", ec)}), 1, 1, ""},
		"RSA":                {with(data{"ca-cert.pem": cert(byHand(t, "west", rsa2048, root, nil)), "ca-key.pem": keyPEM(t, "RSA PRIVATE KEY", rsa2048), "cert-chain.pem": nil}), 1, 1, ""},
		"RSAPKCS8":           {with(data{"ca-cert.pem": cert(byHand(t, "west", rsa2048, root, nil)), "ca-key.pem": keyPEM(t, "PRIVATE KEY", rsa2048), "cert-chain.pem": nil}), 1, 1, ""},
		"Whitespace":         {with(data{"ca-cert.pem": join([]byte("\n\n"), cert(signing), []byte("  \n\t\n")), "ca-key.pem": join(good["ca-key.pem"], []byte("\n\n \n")), "root-cert.pem": join(cert(root), []byte("\r\n"))}), 1, 1, ""},
		"WindowsLineEnds":    {with(data{"ca-cert.pem": bytes.ReplaceAll(cert(signing), []byte("\n"), []byte("\r\n"))}), 1, 1, ""},
		"SelfSigned":         {data{"ca-cert.pem": cert(root), "ca-key.pem": keyPEM(t, "PRIVATE KEY", other)}, 0, 1, ""},
		"SelfSignedWithRoot": {data{"ca-cert.pem": cert(root), "ca-key.pem": keyPEM(t, "PRIVATE KEY", other), "root-cert.pem": cert(root), "cert-chain.pem": cert(root)}, 0, 1, ""},
		"AsCertManagerDoes":  {data{"tls.crt": cert(signing), "tls.key": keyPEM(t, "PRIVATE KEY", ec), "ca.crt": cert(root)}, 1, 1, ""},
		"CertManagerChain":   {data{"tls.crt": cert(deep, middle), "tls.key": keyPEM(t, "PRIVATE KEY", ec), "ca.crt": cert(root)}, 2, 1, ""},

		"Empty":             {data{}, 0, 0, `key "ca-cert.pem" is missing`},
		"NoKey":             {with(data{"ca-key.pem": nil}), 0, 0, `key "ca-key.pem" is missing`},
		"NoRoot":            {with(data{"root-cert.pem": nil}), 0, 0, `key "root-cert.pem" is missing: it is needed`},
		"CertManagerNoKey":  {data{"tls.crt": cert(signing), "ca.crt": cert(root)}, 0, 0, `key "tls.key" is missing`},
		"CertManagerNoRoot": {data{"tls.crt": cert(signing), "tls.key": keyPEM(t, "PRIVATE KEY", ec)}, 0, 0, `key "ca.crt" is missing`},
		"EmptyCert":         {with(data{"ca-cert.pem": {}}), 0, 0, `key "ca-cert.pem": no certificate`},
		"KeyInCert":         {with(data{"ca-cert.pem": good["ca-key.pem"]}), 0, 0, `key "ca-cert.pem": PEM block 1 of 1 is not a certificate`},
		"CertInKey":         {with(data{"ca-key.pem": good["ca-cert.pem"]}), 0, 0, `key "ca-key.pem": no private key`},
		"BrokenRoot":        {with(data{"root-cert.pem": join(cert(root), []byte("-----BEGIN CERTIFICATE-----\nxx"))}), 0, 0, `key "root-cert.pem": only 1 of 2`},
		"BrokenChain":       {with(data{"cert-chain.pem": []byte("x")}), 0, 0, `key "cert-chain.pem": no certificate`},
		"LeafAsRoot":        {with(data{"root-cert.pem": cert(byHand(t, "leaf", ecKey(t), root, func(c *x509.Certificate) { c.IsCA = false }))}), 0, 0, `key "root-cert.pem": certificate 1 of 1`},
		"KeyOfAnother":      {with(data{"ca-key.pem": keyPEM(t, "PRIVATE KEY", other)}), 0, 0, `key "ca-cert.pem": the private key does not belong`},
		"OtherRoot":         {with(data{"root-cert.pem": cert(second)}), 0, 0, "does not lead to a trusted root"},
		"MissingLink":       {with(data{"ca-cert.pem": cert(deep), "cert-chain.pem": cert(deep, root)}), 0, 0, "does not lead to a trusted root"},
		"NotCA":             {with(data{"ca-cert.pem": cert(byHand(t, "west", ec, root, func(c *x509.Certificate) { c.IsCA = false })), "cert-chain.pem": nil}), 0, 0, "is not a CA"},
		"MayNotSign":        {with(data{"ca-cert.pem": cert(byHand(t, "west", ec, root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })), "cert-chain.pem": nil}), 0, 0, "keyCertSign"},
		"Expired":           {with(data{"ca-cert.pem": cert(byHand(t, "west", ec, root, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), "cert-chain.pem": nil}), 0, 0, `certificate "CN=west": expired at`},
		"ExpiredAbove":      {with(data{"root-cert.pem": cert(expiredRoot), "ca-cert.pem": cert(byHand(t, "west", ec, expiredRoot, nil)), "cert-chain.pem": nil}), 0, 0, `certificate "CN=old root": expired at`},
		"NotYetValid":       {with(data{"ca-cert.pem": cert(byHand(t, "west", ec, root, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })), "cert-chain.pem": nil}), 0, 0, "not yet valid"},
		"WeakKey":           {with(data{"ca-cert.pem": cert(byHand(t, "west", p521, root, nil)), "ca-key.pem": keyPEM(t, "PRIVATE KEY", p521), "cert-chain.pem": nil}), 0, 0, "P-521"},
		"ExpiredRoot":       {data{"ca-cert.pem": cert(byHand(t, "old", ec, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), "ca-key.pem": keyPEM(t, "PRIVATE KEY", ec)}, 0, 0, `root certificate "CN=old": expired at`},
	} {
		t.Run(name, func(t *testing.T) {
			signer, err := ca.LoadCACerts(test.data, time.Now())
			wantErr(t, err, test.err)
			if errors.Is(err, ca.ErrExpired) != strings.HasPrefix(name, "Expired") {
				t.Errorf("told to be expired: %t", errors.Is(err, ca.ErrExpired))
			}
			if err != nil {
				if strings.Contains(err.Error(), "BEGIN") {
					t.Errorf("the error quotes PEM: %v", err)
				}
				return
			}
			signed := must[*ca.Certificate](t)(newAuthority(t, &clock{}, signer).Sign(ca.Request{CSR: csrOf(t, ecKey(t), x509.CertificateRequest{}), ID: cart}))
			if got := len(signed.DER()) - 1; got != test.shown || len(signer.Roots()) != test.roots {
				t.Errorf("%d certificates are shown beside the leaf, %d roots trusted; want %d and %d", got, len(signer.Roots()), test.shown, test.roots)
			}
			if signer.SelfSigned() != (test.shown == 0) {
				t.Errorf("self-signed: %t", signer.SelfSigned())
			}
			// What was read is written so that it is read again the same.
			data := must[map[string][]byte](t)(ca.EncodeCACerts(signer))
			again := must[*ca.Signer](t)(ca.LoadCACerts(data, time.Now()))
			if diff := cmp.Diff(data, must[map[string][]byte](t)(ca.EncodeCACerts(again))); diff != "" {
				t.Errorf("signer changed on its way through a Secret:\n%s", diff)
			}
			if n := len(must[*ca.Certificate](t)(newAuthority(t, &clock{}, again).Sign(ca.Request{CSR: csrOf(t, ecKey(t), x509.CertificateRequest{}), ID: cart})).DER()) - 1; n != test.shown {
				t.Errorf("read again, %d certificates are shown beside the leaf", n)
			}
		})
	}
}

func TestNewSignerWantsItsParts(t *testing.T) {
	root := newRoot(t)
	_, err := ca.NewSigner(nil, root.Key, nil, root.Bundle(), time.Now())
	wantErr(t, err, "needs a certificate")
	_, err = ca.NewSigner(root.Certificate, trust.PrivateKey{}, nil, root.Bundle(), time.Now())
	wantErr(t, err, "needs a certificate")
	_, err = ca.NewSigner(root.Certificate, root.Key, nil, nil, time.Now())
	wantErr(t, err, "at least one trusted root")
	_, err = ca.EncodeCACerts(nil)
	wantErr(t, err, "no signer")
}

// TestKeysAreNotPrinted: what holds a key may end up in a log.
func TestKeysAreNotPrinted(t *testing.T) {
	ec := ecKey(t)
	root := byHand(t, "root", ec, nil, nil)
	signer := must[*ca.Signer](t)(ca.LoadCACerts(map[string][]byte{"ca-cert.pem": trust.EncodeCertificates(root.cert), "ca-key.pem": keyPEM(t, "PRIVATE KEY", ec)}, time.Now()))
	authority := newAuthority(t, &clock{}, signer)
	own := authority.ServerCertificate([]string{"a"})
	if _, err := own.Current(); err != nil {
		t.Fatal(err)
	}
	scalar := must[[]byte](t)(ec.Bytes())
	for name, value := range map[string]any{"Signer": signer, "Authority": authority, "OwnCertificate": own, "Value": *signer} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			out := fmt.Sprintf(verb, value)
			for _, secret := range []string{fmt.Sprintf("%x", scalar), strings.Trim(fmt.Sprint(scalar), "[]"), new(big.Int).SetBytes(scalar).String(), "PRIVATE"} {
				if strings.Contains(out, secret) {
					t.Errorf("%s prints its key with %s", name, verb)
				}
			}
		}
	}
}

// FuzzLoadCACerts: no Secret makes it panic, and a signer that it returns can sign.
func FuzzLoadCACerts(f *testing.F) {
	ec := ecKey(f)
	root := byHand(f, "root", ecKey(f), nil, nil)
	signing := byHand(f, "west", ec, root, nil)
	cert, key, rootPEM := trust.EncodeCertificates(signing.cert), keyPEM(f, "EC PRIVATE KEY", ec), trust.EncodeCertificates(root.cert)
	f.Add(cert, key, rootPEM, join(cert, rootPEM))
	f.Add(cert, keyPEM(f, "PRIVATE KEY", ec), rootPEM, []byte(nil))
	f.Add(join(cert, rootPEM), join(cert, key), join(rootPEM, rootPEM), rootPEM)
	f.Add(rootPEM, key, []byte(nil), []byte("-----BEGIN CERTIFICATE-----"))
	f.Add([]byte("x"), []byte("-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----"), []byte{}, []byte{0})
	f.Fuzz(func(t *testing.T, cert, key, root, chain []byte) {
		data := map[string][]byte{"ca-cert.pem": cert, "ca-key.pem": key, "root-cert.pem": root, "cert-chain.pem": chain}
		signer, err := ca.LoadCACerts(data, time.Now())
		if err != nil {
			return
		}
		if _, err := ca.EncodeCACerts(signer); err != nil {
			t.Fatalf("a signer that was read can't be written: %v", err)
		}
		if !signer.NotAfter().After(time.Now().Add(-time.Minute)) {
			t.Fatal("an expired signer was taken")
		}
	})
}
