// SPDX-License-Identifier: Apache-2.0

package csr

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// issuer is a CA of the test.
type issuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, name string, parent *issuer) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	over := &issuer{template, key}
	if parent != nil {
		over = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, over.certificate, key.Public(), over.key)
	check(t, err)
	certificate, err := x509.ParseCertificate(der)
	check(t, err)
	return &issuer{certificate, key}
}

func (i *issuer) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Raw}))
}

func (i *issuer) sign(t *testing.T, request []byte) string {
	t.Helper()
	block, _ := pem.Decode(request)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	check(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), URIs: csr.URIs, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}, i.certificate, csr.PublicKey, i.key)
	check(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func selfSigned(t *testing.T) []byte { return []byte(newIssuer(t, "mounted", nil).pem()) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewLeaf(t *testing.T) {
	root, other := newIssuer(t, "root", nil), newIssuer(t, "other", nil)
	between := newIssuer(t, "between", root)
	key, request, err := newRequest("spiffe://west/ns/shop/sa/reviews")
	check(t, err)
	foreign, _, err := newRequest("spiffe://west/ns/shop/sa/reviews")
	check(t, err)
	leaf := between.sign(t, request)

	cases := map[string]struct {
		answer  []string
		key     Key
		mounted string
		roots   int
		err     string
	}{
		"ChainAndRoot":     {[]string{leaf, between.pem(), root.pem()}, key, "", 1, ""},
		"ChainInOneText":   {[]string{leaf + between.pem(), root.pem()}, key, root.pem(), 1, ""},
		"TwoRoots":         {[]string{leaf, between.pem(), root.pem()}, key, other.pem(), 2, ""},
		"OnlyMounted":      {[]string{leaf + between.pem()}, key, root.pem(), 1, ""},
		"Empty":            {nil, key, root.pem(), 0, "no certificate"},
		"NotPEM":           {[]string{"x", root.pem()}, key, "", 0, "no certificate"},
		"Broken":           {[]string{"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", root.pem()}, key, "", 0, "parse certificate 1"},
		"AnotherKey":       {[]string{leaf, between.pem(), root.pem()}, foreign, "", 0, "not for the key that was asked for"},
		"AnotherRoot":      {[]string{leaf, between.pem(), other.pem()}, key, "", 0, "does not lead to a root"},
		"WithoutTheMiddle": {[]string{leaf, root.pem()}, key, "", 0, "does not lead to a root"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := newLeaf(c.answer, c.key, []byte(c.mounted))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %s", err, c.err)
				}
				return
			}
			check(t, err)
			if n := strings.Count(string(got.Roots), "BEGIN"); n != c.roots {
				t.Errorf("%d roots, want %d", n, c.roots)
			}
			if n := strings.Count(string(got.Chain), "BEGIN"); n != 2 {
				t.Errorf("%d certificates in the chain, want 2", n)
			}
			id, _ := url.Parse("spiffe://west/ns/shop/sa/reviews")
			if certificate, err := got.TLS(); err != nil || certificate.Leaf.URIs[0].String() != id.String() {
				t.Errorf("certificate %v, %v", certificate.Leaf.URIs, err)
			}
		})
	}
}

func TestWithRootsReplacesMountedOnes(t *testing.T) {
	root, old, fresh := newIssuer(t, "root", nil), newIssuer(t, "old", nil), newIssuer(t, "fresh", nil)
	key, request, err := newRequest("spiffe://west/ns/shop/sa/reviews")
	check(t, err)
	leaf, err := newLeaf([]string{root.sign(t, request), root.pem()}, key, []byte(old.pem()))
	check(t, err)
	next, err := leaf.WithRoots([]byte(fresh.pem()))
	check(t, err)
	if want := root.pem() + fresh.pem(); string(next.Roots) != want {
		t.Errorf("roots:\n%s\nwant:\n%s", next.Roots, want)
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	key, _, err := newRequest("spiffe://west/ns/shop/sa/reviews")
	check(t, err)
	secret := string(key.PEM())[40:60]
	leaf := &Leaf{Key: key}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		for _, v := range []any{key, &key, leaf, *leaf, struct{ k Key }{key}} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) || strings.Contains(text, fmt.Sprint([]byte(secret))[1:40]) {
				t.Errorf("%s of %T prints the key", format, v)
			}
		}
	}
}
