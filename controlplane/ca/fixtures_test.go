// SPDX-License-Identifier: Apache-2.0

package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/federation/trust"
)

var (
	west = spiffeid.RequireTrustDomainFromString("west.shop.example")
	cart = spiffeid.RequireFromString("spiffe://west.shop.example/ns/shop/sa/cart")
)

const day = 24 * time.Hour

type clock = authntest.Clock

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newRoot(t testing.TB) *trust.Root {
	t.Helper()
	return must[*trust.Root](t)(trust.NewRoot(trust.RootRequest{Federation: "shop", Now: time.Now(), Rand: rand.Reader}))
}

func newKey(t testing.TB) trust.PrivateKey {
	t.Helper()
	return must[trust.PrivateKey](t)(trust.GenerateKey(rand.Reader))
}

// intermediate is a member's CA as the hub signs it.
func intermediate(t testing.TB, root *trust.Root, td spiffeid.TrustDomain, validity time.Duration) (*x509.Certificate, trust.PrivateKey) {
	t.Helper()
	key := newKey(t)
	return must[*x509.Certificate](t)(root.SignIntermediate(trust.IntermediateRequest{
		CSR: must[[]byte](t)(trust.NewCSR(key, rand.Reader)), Member: "west", TrustDomain: td, Validity: validity, Now: time.Now(), Rand: rand.Reader,
	})), key
}

func memberSigner(t testing.TB, root *trust.Root, td spiffeid.TrustDomain, validity time.Duration) *ca.Signer {
	t.Helper()
	cert, key := intermediate(t, root, td, validity)
	return must[*ca.Signer](t)(ca.NewSigner(cert, key, nil, root.Bundle(), time.Now()))
}

func newAuthority(t testing.TB, c *clock, s *ca.Signer) *ca.Authority {
	t.Helper()
	a := must[*ca.Authority](t)(ca.NewAuthority(ca.Settings{TrustDomain: west, Now: c.Now, Rand: rand.Reader}))
	if s != nil {
		if err := a.Use(s); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	return must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func csrOf(t testing.TB, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	return must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &template, key))
}

func pemCSR(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	return must[*x509.Certificate](t)(x509.ParseCertificate(der))
}

// wantErr fails unless err says fragment; an empty fragment wants no error.
func wantErr(t testing.TB, err error, fragment string) {
	t.Helper()
	switch {
	case fragment == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case fragment != "" && err == nil:
		t.Errorf("no error, want one that says %q", fragment)
	case fragment != "" && !strings.Contains(err.Error(), fragment):
		t.Errorf("error %q does not say %q", err, fragment)
	}
}
