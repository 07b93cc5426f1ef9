// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// FuzzParseRoot: no Secret makes it panic, and a root that is accepted can sign.
func FuzzParseRoot(f *testing.F) {
	root := newRoot(f)
	crt, key, err := root.PEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(crt, key.Reveal())
	f.Add(append(bytes.Clone(crt), crt...), append([]byte("# mine\n"), key.Reveal()...))
	f.Add(key.Reveal(), crt)
	f.Add([]byte("-----BEGIN CERTIFICATE-----"), []byte("-----BEGIN RSA PRIVATE KEY-----\nMA==\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, crt, key []byte) {
		root, err := trust.ParseRoot(crt, trust.NewSecret(key), now)
		if err != nil {
			return
		}
		if err := root.Check(now); err != nil || len(root.Bundle()) != 1 {
			t.Fatalf("a root that can't sign was accepted: %v", err)
		}
	})
}

// FuzzVerifyMember: of all bytes that could be shown as a certificate, only
// those that the member's CA signed make a member.
func FuzzVerifyMember(f *testing.F) {
	root := newRoot(f)
	ca := memberCA(f, root, "west", west)
	leaf := ca.issue(f, leafTemplate(westIstiod), newKey(f).Public())
	issued := func(string) (trust.Issued, bool) { return trust.Issued{Member: "west", TrustDomain: west}, true }
	f.Add(leaf.Raw)
	f.Add(ca.issue(f, leafTemplate("spiffe://east.shop.example/ns/istio-system/sa/istiod"), newKey(f).Public()).Raw)
	f.Add(ca.cert.Raw)
	f.Add(root.Certificate.Raw)
	f.Add(leaf.Raw[:len(leaf.Raw)/2])
	f.Fuzz(func(t *testing.T, der []byte) {
		shown, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		if _, err := trust.VerifyMember(root.Bundle(), []*x509.Certificate{shown, ca.cert}, issued, now); err == nil && !bytes.Equal(shown.RawTBSCertificate, leaf.RawTBSCertificate) {
			t.Fatal("a certificate that the member's CA did not sign makes a member")
		}
	})
}

// FuzzCheckToken: no string but the token is the token.
func FuzzCheckToken(f *testing.F) {
	token := newToken(f)
	record := trust.TokenRecord{Hash: trust.HashToken(token), NotAfter: now.Add(day)}
	f.Add(token)
	f.Add(token + "=")
	f.Add("isthmesh-enrol-")
	f.Add(record.Hash)
	f.Fuzz(func(t *testing.T, presented string) {
		if err := trust.CheckToken(presented, record, now); (err == nil) != (presented == token) {
			t.Fatalf("%q: %v", presented, err)
		}
	})
}
