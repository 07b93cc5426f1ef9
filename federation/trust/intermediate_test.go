// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/federation/trust"
)

func csrOf(t testing.TB, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	return must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &template, key))
}

func TestIntermediate(t *testing.T) {
	root := newRoot(t)
	ca := memberCA(t, root, "west", west)
	c := ca.cert
	type facts struct {
		Subject, Issuer          string
		NotBefore, NotAfter      time.Time
		CA, PathLenZero          bool
		PathLen                  int
		Usage                    x509.KeyUsage
		Algorithm                x509.SignatureAlgorithm
		PermittedURI, ExcludeDNS []string
		Critical                 bool
		Names                    int
	}
	got := facts{
		c.Subject.String(), c.Issuer.String(), c.NotBefore, c.NotAfter, c.IsCA, c.MaxPathLenZero, c.MaxPathLen, c.KeyUsage,
		c.SignatureAlgorithm, c.PermittedURIDomains, c.ExcludedDNSDomains, c.PermittedDNSDomainsCritical,
		len(c.DNSNames) + len(c.URIs) + len(c.IPAddresses) + len(c.EmailAddresses),
	}
	want := facts{
		"CN=west intermediate CA,O=Isthmesh", "CN=shop root CA,O=Isthmesh", now.Add(-2 * time.Minute), now.Add(365 * day), true, true, 0,
		x509.KeyUsageCertSign | x509.KeyUsageCRLSign, x509.ECDSAWithSHA256,
		[]string{"west.shop.example"},
		[]string{"federation.isthmesh.dev"},
		true, 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("intermediate differs (-want +got):\n%s", diff)
	}
	var critical []string
	for _, e := range c.Extensions {
		if e.Critical {
			critical = append(critical, e.Id.String())
		}
	}
	// Key usage, basic constraints, name constraints.
	if diff := cmp.Diff([]string{"2.5.29.15", "2.5.29.19", "2.5.29.30"}, critical); diff != "" {
		t.Errorf("critical extensions differ:\n%s", diff)
	}
}

// TestIntermediateTakesOnlyTheKey: whatever a request asks for, the
// certificate is the same but for the key.
func TestIntermediateTakesOnlyTheKey(t *testing.T) {
	root := newRoot(t)
	key := newKey(t)
	uri, _ := url.Parse("spiffe://east.shop.example/ns/a/sa/b")
	greedy := csrOf(t, key, x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "shop root CA", Organization: []string{"Isthmesh"}},
		DNSNames: []string{trust.HubServerName("shop", "mesh")}, URIs: []*url.URL{uri},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, EmailAddresses: []string{"root@example.com"},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}, // CA, no path length
			{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true, Value: []byte{0x30, 0x00}},                   // no name constraint
		},
	})
	cert, err := root.SignIntermediate(trust.IntermediateRequest{CSR: greedy, Member: "west", TrustDomain: west, Now: now, Rand: rand.Reader})
	wantErr(t, err, "")
	plain := memberCA(t, root, "west", west).cert
	same := func(c *x509.Certificate) []string {
		var out []string
		for _, e := range c.Extensions {
			if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 14}) { // the subject's key id
				out = append(out, e.Id.String()+string(e.Value))
			}
		}
		return append(out, c.Subject.String(), c.NotAfter.String())
	}
	if diff := cmp.Diff(same(plain), same(cert)); diff != "" {
		t.Errorf("the request changed more than the key:\n%s", diff)
	}
}

func TestSignIntermediateRefuses(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0") // to make a weak key
	root := newRoot(t)
	key := newKey(t)
	good := must[[]byte](t)(trust.NewCSR(key, rand.Reader))
	weak := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024))
	p521 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	p224 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	forged := append([]byte(nil), good...)
	forged[len(forged)-5] ^= 1
	old := newRoot(t)
	old.Certificate.NotAfter = now
	swapped := &trust.Root{Certificate: root.Certificate, Key: newKey(t)}

	for name, test := range map[string]struct {
		root *trust.Root
		csr  []byte
		td   string
		life time.Duration
		err  string
	}{
		"Garbage":       {root, []byte("hello"), "west.shop.example", 0, "not PKCS #10"},
		"Empty":         {root, nil, "west.shop.example", 0, "not PKCS #10"},
		"Trailing":      {root, append(append([]byte(nil), good...), 0), "west.shop.example", 0, "not PKCS #10"},
		"Certificate":   {root, root.Certificate.Raw, "west.shop.example", 0, "not PKCS #10"},
		"Forged":        {root, forged, "west.shop.example", 0, "not signed by its own key"},
		"RSA1024":       {root, csrOf(t, weak, x509.CertificateRequest{}), "west.shop.example", 0, "RSA key of 1024 bits"},
		"P521":          {root, csrOf(t, p521, x509.CertificateRequest{}), "west.shop.example", 0, "P-521"},
		"P224":          {root, csrOf(t, p224, x509.CertificateRequest{}), "west.shop.example", 0, "P-224"},
		"Ed25519":       {root, csrOf(t, ed, x509.CertificateRequest{}), "west.shop.example", 0, "neither ECDSA nor RSA"},
		"RootsOwnKey":   {root, must[[]byte](t)(trust.NewCSR(root.Key, rand.Reader)), "west.shop.example", 0, "root's own key"},
		"NegativeLife":  {root, good, "west.shop.example", -1, "negative"},
		"NoTrustDomain": {root, good, "", 0, "trust domain"},
		"EmptyLabel":    {root, good, "west..example", 0, "between dots"},
		"IPAddress":     {root, good, "10.0.0.1", 0, "IP address"},
		"ExpiredRoot":   {old, good, "west.shop.example", 0, "expired"},
		"SwappedKey":    {swapped, good, "west.shop.example", 0, "does not belong"},
	} {
		t.Run(name, func(t *testing.T) {
			var td spiffeid.TrustDomain
			if test.td != "" {
				td = spiffeid.RequireTrustDomainFromString(test.td)
			}
			cert, err := test.root.SignIntermediate(trust.IntermediateRequest{
				CSR: test.csr, Member: "west", TrustDomain: td, Validity: test.life, Now: now, Rand: rand.Reader,
			})
			wantErr(t, err, test.err)
			if err != nil && !strings.Contains(err.Error(), `"west"`) {
				t.Errorf("error does not name the member: %v", err)
			}
			if cert != nil {
				t.Error("a certificate came with the error")
			}
		})
	}
}

func TestSignIntermediateTakesKeys(t *testing.T) {
	root := newRoot(t)
	for name, key := range map[string]crypto.Signer{
		"P256":    must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"P384":    must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"RSA2048": must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := root.SignIntermediate(trust.IntermediateRequest{
				CSR: csrOf(t, key, x509.CertificateRequest{}), Member: "west", TrustDomain: west, Now: now, Rand: rand.Reader,
			})
			wantErr(t, err, "")
		})
	}
}

func TestIntermediateNeverOutlivesTheRoot(t *testing.T) {
	root := newRoot(t)
	key := newKey(t)
	csr := must[[]byte](t)(trust.NewCSR(key, rand.Reader))
	for name, test := range map[string]struct {
		at       time.Time
		validity time.Duration
		want     time.Time
	}{
		"Standard":  {now, 0, now.Add(365 * day)},
		"AskedFor":  {now, 30 * day, now.Add(30 * day)},
		"TooLong":   {now, 100 * 365 * day, root.Certificate.NotAfter},
		"OldRoot":   {root.Certificate.NotAfter.Add(-day), 0, root.Certificate.NotAfter},
		"LastHours": {root.Certificate.NotAfter.Add(-time.Hour), 30 * time.Minute, root.Certificate.NotAfter.Add(-30 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			cert, err := root.SignIntermediate(trust.IntermediateRequest{
				CSR: csr, Member: "west", TrustDomain: west, Validity: test.validity, Now: test.at, Rand: rand.Reader,
			})
			wantErr(t, err, "")
			if !cert.NotAfter.Equal(test.want) {
				t.Errorf("valid until %s, want %s", cert.NotAfter, test.want)
			}
		})
	}
}

// TestCheckIntermediate: each thing that could be wrong with a signed
// intermediate is seen by the check that runs before it is handed out.
func TestCheckIntermediate(t *testing.T) {
	root := newRoot(t)
	key := newKey(t)
	csr := must[[]byte](t)(trust.NewCSR(key, rand.Reader))
	req := trust.IntermediateRequest{CSR: csr, Member: "west", TrustDomain: west, Now: now, Rand: rand.Reader}
	good := must[*x509.Certificate](t)(root.SignIntermediate(req))
	for name, test := range map[string]struct {
		change func(*x509.Certificate)
		err    string
	}{
		"Good":            {func(*x509.Certificate) {}, ""},
		"Subject":         {func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "east intermediate CA"} }, "subject"},
		"PathLength":      {func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false }, "path length"},
		"NoPathLength":    {func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = -1, false }, "path length"},
		"NotCA":           {func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false }, "not a CA"},
		"NoConstraint":    {func(c *x509.Certificate) { c.PermittedURIDomains = nil }, "not constrained"},
		"OtherConstraint": {func(c *x509.Certificate) { c.PermittedURIDomains = []string{"east.shop.example"} }, "not constrained"},
		"TwoConstraints":  {func(c *x509.Certificate) { c.PermittedURIDomains = append(c.PermittedURIDomains, "east.shop.example") }, "not constrained"},
		"NotCritical":     {func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false }, "not constrained"},
		"HubNames":        {func(c *x509.Certificate) { c.ExcludedDNSDomains = nil }, "may issue names in federation.isthmesh.dev"},
		"TooLong":         {func(c *x509.Certificate) { c.NotAfter = now.Add(366 * day) }, "beyond"},
		"Expired":         {func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			template := *good
			test.change(&template)
			template.RawSubject = nil
			cert := authority{root.Certificate, root.Key}.issue(t, template, key.Public())
			wantErr(t, root.CheckIntermediate(cert, req), test.err)
		})
	}
	t.Run("OtherKey", func(t *testing.T) {
		other := newKey(t)
		wantErr(t, root.CheckIntermediate(authority{root.Certificate, root.Key}.issue(t, *good, other.Public()), req), "another key")
	})
	t.Run("OtherRoot", func(t *testing.T) {
		stranger := newRoot(t)
		wantErr(t, root.CheckIntermediate(authority{stranger.Certificate, stranger.Key}.issue(t, *good, key.Public()), req), "not signed by a root")
	})
}

func TestCommonNamesStayShort(t *testing.T) {
	long := strings.Repeat("a", 63)
	cert := memberCA(t, newRoot(t), long, west).cert
	if n := len(cert.Subject.CommonName); n > 64 {
		t.Errorf("common name has %d characters, X.509 allows 64", n)
	}
}
