// SPDX-License-Identifier: Apache-2.0

package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/federation/trust"
)

func TestSign(t *testing.T) {
	root := newRoot(t)
	signers := map[string]*ca.Signer{
		"Intermediate": memberSigner(t, root, west, 0),
		"SelfSigned":   must[*ca.Signer](t)(ca.NewSigner(root.Certificate, root.Key, nil, root.Bundle(), time.Now())),
	}
	keys := map[string]struct {
		key   crypto.Signer
		usage x509.KeyUsage
	}{
		"P256":    {ecKey(t), x509.KeyUsageDigitalSignature},
		"P384":    {must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), x509.KeyUsageDigitalSignature},
		"RSA2048": {must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048)), x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment},
	}
	for signerName, s := range signers {
		for keyName, k := range keys {
			t.Run(signerName+"/"+keyName, func(t *testing.T) {
				c := &clock{}
				signed := must[*ca.Certificate](t)(newAuthority(t, c, s).Sign(ca.Request{CSR: csrOf(t, k.key, x509.CertificateRequest{}), ID: cart}))
				leaf := parse(t, signed.Leaf)
				type facts struct {
					Subject    string
					URIs       []string
					DNS        []string
					CA, HasBC  bool
					Usage      x509.KeyUsage
					ExtUsage   []x509.ExtKeyUsage
					SerialBits int
					Life       time.Duration
				}
				got := facts{
					leaf.Subject.String(), nil, leaf.DNSNames, leaf.IsCA, leaf.BasicConstraintsValid, leaf.KeyUsage, leaf.ExtKeyUsage,
					leaf.SerialNumber.BitLen(), leaf.NotAfter.Sub(leaf.NotBefore),
				}
				for _, u := range leaf.URIs {
					got.URIs = append(got.URIs, u.String())
				}
				want := facts{
					"",
					[]string{cart.String()},
					nil, false, true, k.usage,
					[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
					127, day + 2*time.Minute,
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("leaf differs (-want +got):\n%s", diff)
				}
				if signed.Trimmed {
					t.Error("a leaf of the standard life counts as trimmed")
				}
				// SPIFFE's own library takes it for the caller's X509-SVID.
				id, _, err := x509svid.ParseAndVerify(signed.DER(), x509bundle.FromX509Authorities(west, root.Bundle()))
				if err != nil || id != cart {
					t.Errorf("got %q, %v", id, err)
				}
			})
		}
	}
}

func TestAnswerOfSign(t *testing.T) {
	root, other := newRoot(t), newRoot(t)
	cert, key := intermediate(t, root, west, 0)
	roots := trust.NewBundle(root.Certificate, other.Certificate)
	for name, test := range map[string]struct {
		signer *ca.Signer
		shown  []*x509.Certificate
	}{
		"Intermediate": {must[*ca.Signer](t)(ca.NewSigner(cert, key, nil, roots, time.Now())), []*x509.Certificate{cert}},
		"SelfSigned":   {must[*ca.Signer](t)(ca.NewSigner(root.Certificate, root.Key, nil, roots, time.Now())), nil},
	} {
		t.Run(name, func(t *testing.T) {
			signed := must[*ca.Certificate](t)(newAuthority(t, &clock{}, test.signer).Sign(ca.Request{CSR: csrOf(t, ecKey(t), x509.CertificateRequest{}), ID: cart}))
			want := []string{string(trust.EncodeCertificateDER(signed.Leaf))}
			for _, c := range test.shown {
				want = append(want, string(trust.EncodeCertificates(c)))
			}
			want = append(want, string(trust.EncodeBundle(roots)))
			if diff := cmp.Diff(want, signed.PEM()); diff != "" {
				t.Errorf("answer is not leaf, intermediates, roots:\n%s", diff)
			}
			if n := len(signed.DER()); n != 1+len(test.shown) {
				t.Errorf("a TLS peer would show %d certificates", n)
			}
		})
	}
}

func TestLifeOfALeaf(t *testing.T) {
	root := newRoot(t)
	for name, test := range map[string]struct {
		settings ca.Settings
		signer   time.Duration
		ttl      time.Duration
		want     time.Duration
		trimmed  bool
	}{
		"Standard":          {ca.Settings{}, 0, 0, day, false},
		"AskedFor":          {ca.Settings{}, 0, time.Hour, time.Hour, false},
		"TooLong":           {ca.Settings{}, 0, 25 * time.Hour, day, true},
		"Endless":           {ca.Settings{}, 0, math.MaxInt64, day, true},
		"Configured":        {ca.Settings{TTL: time.Hour, MaxTTL: 48 * time.Hour}, 0, 0, time.Hour, false},
		"ConfiguredMaximum": {ca.Settings{TTL: time.Hour, MaxTTL: 48 * time.Hour}, 0, 90 * day, 48 * time.Hour, true},
		"MaximumBelowTTL":   {ca.Settings{TTL: time.Hour, MaxTTL: time.Minute}, 0, 2 * time.Hour, time.Hour, true},
		"SignerEndsFirst":   {ca.Settings{}, 10 * time.Hour, 0, 10 * time.Hour, true},
		"SignerEndsLater":   {ca.Settings{}, 10 * time.Hour, time.Hour, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &clock{}
			test.settings.TrustDomain, test.settings.Now, test.settings.Rand = west, c.Now, rand.Reader
			a := must[*ca.Authority](t)(ca.NewAuthority(test.settings))
			wantErr(t, a.Use(memberSigner(t, root, west, test.signer)), "")
			signed := must[*ca.Certificate](t)(a.Sign(ca.Request{CSR: csrOf(t, ecKey(t), x509.CertificateRequest{}), ID: cart, TTL: test.ttl}))
			leaf := parse(t, signed.Leaf)
			if got := leaf.NotAfter.Sub(c.Now()); got > test.want || got < test.want-10*time.Second {
				t.Errorf("leaf lives for %s, want %s", got, test.want)
			}
			if signed.Trimmed != test.trimmed || !signed.NotAfter.Equal(leaf.NotAfter) {
				t.Errorf("trimmed: %t, until %s (leaf: %s)", signed.Trimmed, signed.NotAfter, leaf.NotAfter)
			}
			if leaf.NotAfter.After(a.Signer().NotAfter()) {
				t.Error("the leaf outlives its signer")
			}
		})
	}
}

// TestLeafNeverOutlivesTheRoot: the end of what lies above the signer counts too.
func TestLeafNeverOutlivesTheRoot(t *testing.T) {
	now := time.Now()
	root := must[*trust.Root](t)(trust.NewRoot(trust.RootRequest{Federation: "shop", Validity: 5 * time.Hour, Now: now, Rand: rand.Reader}))
	key := newKey(t)
	template := must[*x509.Certificate](t)(root.SignIntermediate(trust.IntermediateRequest{
		CSR: must[[]byte](t)(trust.NewCSR(key, rand.Reader)), Member: "west", TrustDomain: west, Now: now, Rand: rand.Reader,
	}))
	template.NotAfter = now.Add(1000 * day) // as a careless CA would have it
	cert := parse(t, must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, root.Certificate, key.Public(), root.Key)))
	a := newAuthority(t, &clock{}, must[*ca.Signer](t)(ca.NewSigner(cert, key, nil, root.Bundle(), now)))
	signed := must[*ca.Certificate](t)(a.Sign(ca.Request{CSR: csrOf(t, ecKey(t), x509.CertificateRequest{}), ID: cart}))
	if signed.NotAfter.After(root.Certificate.NotAfter) || !signed.Trimmed {
		t.Errorf("leaf is valid until %s, the root until %s", signed.NotAfter, root.Certificate.NotAfter)
	}
}

func TestSignRefuses(t *testing.T) {
	root := newRoot(t)
	good := csrOf(t, ecKey(t), x509.CertificateRequest{})
	ready := newAuthority(t, &clock{}, memberSigner(t, root, west, 0))
	late := &clock{}
	expired := newAuthority(t, late, memberSigner(t, root, west, time.Hour))
	late.Advance(time.Hour)
	for name, test := range map[string]struct {
		authority *ca.Authority
		req       ca.Request
		is        error
		err       string
	}{
		"NoSigner":         {newAuthority(t, &clock{}, nil), ca.Request{CSR: good, ID: cart}, ca.ErrNoSigner, "no signing certificate yet"},
		"ExpiredSigner":    {expired, ca.Request{CSR: good, ID: cart}, ca.ErrNoSigner, "expired at"},
		"OtherTrustDomain": {ready, ca.Request{CSR: good, ID: spiffeid.RequireFromString("spiffe://east.shop.example/ns/a/sa/b")}, ca.ErrRequest, "not of trust domain"},
		"SubDomain":        {ready, ca.Request{CSR: good, ID: spiffeid.RequireFromString("spiffe://x.west.shop.example/ns/a/sa/b")}, ca.ErrRequest, "not of trust domain"},
		"NoIdentity":       {ready, ca.Request{CSR: good}, ca.ErrRequest, "not of trust domain"},
		"NoPath":           {ready, ca.Request{CSR: good, ID: west.ID()}, ca.ErrRequest, "no path"},
		"NegativeLife":     {ready, ca.Request{CSR: good, ID: cart, TTL: -1}, ca.ErrRequest, "negative"},
		"Garbage":          {ready, ca.Request{CSR: []byte("x"), ID: cart}, ca.ErrRequest, "not PKCS #10"},
	} {
		t.Run(name, func(t *testing.T) {
			signed, err := test.authority.Sign(test.req)
			wantErr(t, err, test.err)
			if !errors.Is(err, test.is) || signed != nil {
				t.Errorf("got %v, %v", signed, err)
			}
		})
	}
}

// TestUseRefuses: a signer that can't work does not take the place of one that does.
func TestUseRefuses(t *testing.T) {
	root := newRoot(t)
	c := &clock{}
	good := memberSigner(t, root, west, 0)
	a := newAuthority(t, c, good)
	other := memberSigner(t, root, spiffeid.RequireTrustDomainFromString("east.shop.example"), 0)
	wantErr(t, a.Use(other), `can't be used in trust domain "west.shop.example"`)
	short := memberSigner(t, root, west, time.Hour)
	c.Advance(2 * time.Hour)
	wantErr(t, a.Use(short), "expired")
	if a.Signer() != good || !a.Roots().Equal(root.Bundle()) {
		t.Error("a refused signer took the place of a good one")
	}
}

// TestSignersAreExchangedWhileSigning: every answer is of one signer, whole.
func TestSignersAreExchangedWhileSigning(t *testing.T) {
	one, two := newRoot(t), newRoot(t)
	signers := []*ca.Signer{memberSigner(t, one, west, 0), memberSigner(t, two, west, 0)}
	a := newAuthority(t, &clock{}, signers[0])
	csr := csrOf(t, ecKey(t), x509.CertificateRequest{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if err := a.Use(signers[i%2]); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 200 {
		signed := must[*ca.Certificate](t)(a.Sign(ca.Request{CSR: csr, ID: cart}))
		if _, _, err := x509svid.ParseAndVerify(signed.DER(), x509bundle.FromX509Authorities(west, signed.Signer.Roots())); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestSettingsAreChecked(t *testing.T) {
	for name, s := range map[string]ca.Settings{
		"NoTrustDomain": {Now: time.Now, Rand: rand.Reader},
		"NoClock":       {TrustDomain: west, Rand: rand.Reader},
		"NoRandomness":  {TrustDomain: west, Now: time.Now},
		"NegativeTTL":   {TrustDomain: west, Now: time.Now, Rand: rand.Reader, TTL: -1},
	} {
		if _, err := ca.NewAuthority(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
