// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/federation/trust"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

var (
	west = spiffeid.RequireTrustDomainFromString("west.shop.example")
	east = spiffeid.RequireTrustDomainFromString("east.shop.example")
)

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
	return must[*trust.Root](t)(trust.NewRoot(trust.RootRequest{Federation: "shop", Now: now, Rand: rand.Reader}))
}

func newKey(t testing.TB) trust.PrivateKey {
	t.Helper()
	return must[trust.PrivateKey](t)(trust.GenerateKey(rand.Reader))
}

// authority is a CA certificate with its key.
type authority struct {
	cert *x509.Certificate
	key  trust.PrivateKey
}

func memberCA(t testing.TB, root *trust.Root, member string, td spiffeid.TrustDomain) authority {
	t.Helper()
	key := newKey(t)
	csr := must[[]byte](t)(trust.NewCSR(key, rand.Reader))
	cert := must[*x509.Certificate](t)(root.SignIntermediate(trust.IntermediateRequest{
		CSR: csr, Member: member, TrustDomain: td, Now: now, Rand: rand.Reader,
	}))
	return authority{cert, key}
}

// issue signs what the template says, as a thief of the CA's key would.
func (a authority) issue(t testing.TB, template x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = must[*big.Int](t)(trust.NewSerial(rand.Reader))
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, &template, a.cert, key, a.key))
	return must[*x509.Certificate](t)(x509.ParseCertificate(der))
}

func leafTemplate(uris ...string) x509.Certificate {
	template := x509.Certificate{
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(day),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			panic(err)
		}
		template.URIs = append(template.URIs, parsed)
	}
	return template
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
