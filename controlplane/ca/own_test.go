// SPDX-License-Identifier: Apache-2.0

package ca_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/federation/trust"
)

func TestServerCertificate(t *testing.T) {
	root := newRoot(t)
	c := &clock{}
	a := newAuthority(t, c, memberSigner(t, root, west, 0))
	own := a.ServerCertificate([]string{"istiod.istio-system.svc", "istiod.istio-system"})
	first := must[*tls.Certificate](t)(own.GetCertificate(nil))

	between := x509.NewCertPool()
	between.AddCert(parse(t, first.Certificate[1]))
	for _, name := range []string{"istiod.istio-system.svc", "istiod.istio-system"} {
		if _, err := first.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: root.Bundle().Pool(), Intermediates: between}); err != nil {
			t.Error(err)
		}
	}
	if len(first.Leaf.URIs) != 1 || first.Leaf.URIs[0].String() != "spiffe://west.shop.example/ns/istio-system/sa/istiod" {
		t.Errorf("identities are %v", first.Leaf.URIs)
	}
	if _, ok := first.PrivateKey.(trust.PrivateKey); !ok {
		t.Errorf("the key can be printed: %T", first.PrivateKey)
	}
	// The hub takes it for the control plane of the member.
	_, err := trust.VerifyMember(root.Bundle(), []*x509.Certificate{first.Leaf, parse(t, first.Certificate[1])},
		func(string) (trust.Issued, bool) { return trust.Issued{Member: "west", TrustDomain: west}, true }, time.Now())
	wantErr(t, err, "")

	same := must[*tls.Certificate](t)(own.GetClientCertificate(nil))
	if same != first {
		t.Error("a certificate was made though the one at hand is fresh")
	}
}

func TestServerCertificateRenewsItself(t *testing.T) {
	c := &clock{}
	root := newRoot(t)
	a := newAuthority(t, c, memberSigner(t, root, west, 0))
	own := a.ServerCertificate([]string{"istiod.istio-system.svc"})
	current := func() *tls.Certificate { t.Helper(); return must[*tls.Certificate](t)(own.Current()) }

	first := current()
	c.Advance(time.Until(trust.RenewAt(first.Leaf)) - time.Minute)
	if current() != first {
		t.Error("renewed before half of its life")
	}
	c.Advance(time.Minute + time.Second)
	second := current()
	if second == first || !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("not renewed at half of its life")
	}
	if first.PrivateKey.(trust.PrivateKey).Equal(second.PrivateKey.(trust.PrivateKey)) {
		t.Error("the key was kept")
	}

	other := newRoot(t)
	wantErr(t, a.Use(memberSigner(t, other, west, 0)), "")
	third := current()
	if err := parse(t, third.Certificate[1]).CheckSignatureFrom(other.Certificate); err != nil {
		t.Errorf("not renewed with the new signer: %v", err)
	}
}

// TestServerCertificateOutlastsItsSigner: while there is nothing to renew
// with, what is at hand is shown until it expires, and then nothing.
func TestServerCertificateOutlastsItsSigner(t *testing.T) {
	c := &clock{}
	a := newAuthority(t, c, memberSigner(t, newRoot(t), west, 10*time.Hour))
	own := a.ServerCertificate([]string{"istiod.istio-system.svc"})
	first := must[*tls.Certificate](t)(own.Current())
	c.Advance(time.Until(first.Leaf.NotAfter) - time.Minute)
	if _, err := own.Current(); err != nil {
		t.Error(err)
	}
	c.Advance(2 * time.Minute)
	if cert, err := own.Current(); !errors.Is(err, ca.ErrNoSigner) || cert != nil {
		t.Errorf("got %v, %v", cert, err)
	}
	empty := newAuthority(t, &clock{}, nil).ServerCertificate(nil)
	if _, err := empty.Current(); !errors.Is(err, ca.ErrNoSigner) {
		t.Errorf("without signer: %v", err)
	}
}
