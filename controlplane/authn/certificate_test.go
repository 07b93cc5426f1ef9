// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
	holder "github.com/isthmesh/isthmesh/controlplane/peer"
	"github.com/isthmesh/isthmesh/federation/trust"
)

const cart = "spiffe://west.shop.example/ns/shop/sa/cart"

// port is the control plane's port for proxies.
type port struct {
	*server
	clock *authntest.Clock
	roots atomic.Pointer[trust.Bundle]
	api   *authntest.APIServer
}

func (p *port) trust(certs ...*x509.Certificate) {
	b := trust.NewBundle(certs...)
	p.roots.Store(&b)
}

func (p *port) bundle() trust.Bundle { return *p.roots.Load() }

func newPort(t testing.TB, signer ca, roots ...*x509.Certificate) *port {
	t.Helper()
	p := &port{clock: &authntest.Clock{}}
	p.api = authntest.New(p.clock.Now)
	p.trust(roots...)
	a := must[authn.Authenticator](t)(authn.New(authn.Options{TrustDomain: west, Roots: p.bundle, Reviews: p.api, Now: p.clock.Now}))
	own := signer.leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{serverName} }, "spiffe://west.shop.example/ns/istio-system/sa/istiod")
	p.server = serve(t, a, authn.ServerConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own, nil }, p.bundle))
	return p
}

func TestClientCertificate(t *testing.T) {
	root, stranger := newRoot(t), newRoot(t)
	westCA, eastCA := root.intermediate(t, "west.shop.example"), root.intermediate(t, "east.shop.example")
	p := newPort(t, westCA, root.cert)
	subKey := must[trust.PrivateKey](t)(trust.GenerateKey(rand.Reader))
	sub := ca{westCA.sign(t, subKey, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }), subKey}
	subLeaf := sub.leaf(t, nil, cart)
	subLeaf.Certificate = append(subLeaf.Certificate, westCA.cert.Raw)

	for name, test := range map[string]struct {
		cert *tls.Certificate
		code codes.Code
		err  string
	}{
		"Workload":        {westCA.leaf(t, nil, cart), codes.OK, ""},
		"WithDNSNames":    {westCA.leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{"cart|shop|cart|v1|cart|v1|west"} }, cart), codes.OK, ""},
		"OtherMember":     {eastCA.leaf(t, nil, "spiffe://east.shop.example/ns/shop/sa/cart"), codes.Unauthenticated, `is of trust domain "east.shop.example"`},
		"MintedForWest":   {eastCA.leaf(t, nil, cart), codes.Unavailable, "bad certificate"},
		"MintedSubdomain": {westCA.leaf(t, nil, "spiffe://x.west.shop.example/ns/shop/sa/cart"), codes.Unauthenticated, "is of trust domain"},
		"OtherRoot":       {stranger.intermediate(t, "west.shop.example").leaf(t, nil, cart), codes.Unavailable, "unknown certificate authority"},
		"SelfSigned":      {stranger.leaf(t, nil, cart), codes.Unavailable, "certificate"},
		"BelowASubCA":     {subLeaf, codes.Unavailable, "certificate"},
		"Expired":         {westCA.leaf(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, cart), codes.Unavailable, "expired certificate"},
		"NotYetValid":     {westCA.leaf(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, cart), codes.Unavailable, "certificate"},
		"ServerOnly":      {westCA.leaf(t, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, cart), codes.Unavailable, "certificate"},
		"NoIdentity":      {westCA.leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{"cart"} }), codes.Unauthenticated, "no URI SAN"},
		"TwoIdentities":   {westCA.leaf(t, nil, cart, "spiffe://west.shop.example/ns/shop/sa/pay"), codes.Unauthenticated, "more than one URI SAN"},
		"NotSPIFFE":       {westCA.leaf(t, nil, "https://west.shop.example/ns/shop/sa/cart"), codes.Unauthenticated, "scheme"},
		"NoPath":          {westCA.leaf(t, nil, "spiffe://west.shop.example"), codes.Unauthenticated, "no path"},
		"NotAWorkload":    {westCA.leaf(t, nil, "spiffe://west.shop.example/ns/shop"), codes.Unauthenticated, "not of a workload"},
		"MaySign":         {westCA.leaf(t, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, cart), codes.Unauthenticated, "may sign others"},
		"MayOnlyEncrypt":  {westCA.leaf(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, cart), codes.Unauthenticated, "digitalSignature"},
		"NoCertificate":   {nil, codes.Unauthenticated, "no credentials: show a client certificate"},
		"TheIntermediate": {&tls.Certificate{Certificate: [][]byte{westCA.cert.Raw}, PrivateKey: westCA.key}, codes.Unauthenticated, "is a CA's"},
		"TheRoot":         {&tls.Certificate{Certificate: [][]byte{root.cert.Raw}, PrivateKey: root.key}, codes.Unauthenticated, "is a CA's"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.code == codes.Unavailable { // refused by TLS
				wantErr(t, p.handshake(t, p.bundle(), test.cert), test.err)
				return
			}
			caller, err := p.call(t, p.dial(t, p.bundle(), test.cert))
			wantStatus(t, err, test.code, test.err)
			if test.code != codes.OK {
				return
			}
			leaf := must[*x509.Certificate](t)(x509.ParseCertificate(test.cert.Certificate[0]))
			want := &authn.Caller{Identity: spiffeid.RequireFromString(cart), Namespace: "shop", ServiceAccount: "cart", NotAfter: leaf.NotAfter}
			if len(leaf.DNSNames) > 0 { // what the CA wrote of the workload
				want.Holder = holder.Peer{
					Workload: "cart", Namespace: "shop", App: "cart", Version: "v1", CanonicalService: "cart", CanonicalRevision: "v1", Cluster: "west",
				}
			}
			if diff := cmp.Diff(want, caller, sameCaller); diff != "" {
				t.Errorf("caller differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRootsRotateWhileServing: handshakes go by the roots of their moment, and
// a connection that is older than the removal of its root is worth nothing.
func TestRootsRotateWhileServing(t *testing.T) {
	before, after := newRoot(t), newRoot(t)
	oldCA, newCA := before.intermediate(t, "west.shop.example"), after.intermediate(t, "west.shop.example")
	p := newPort(t, oldCA, before.cert)
	oldLeaf, newLeaf := oldCA.leaf(t, nil, cart), newCA.leaf(t, nil, cart)
	clientRoots := trust.NewBundle(before.cert, after.cert)
	standing := p.dial(t, clientRoots, oldLeaf)

	_, err := p.call(t, standing)
	wantStatus(t, err, codes.OK, "")
	wantErr(t, p.handshake(t, clientRoots, newLeaf), "unknown certificate authority")

	p.trust(before.cert, after.cert)
	_, err = p.call(t, p.dial(t, clientRoots, newLeaf))
	wantStatus(t, err, codes.OK, "")
	_, err = p.call(t, standing)
	wantStatus(t, err, codes.OK, "")

	p.trust(after.cert)
	_, err = p.call(t, p.dial(t, clientRoots, newLeaf))
	wantStatus(t, err, codes.OK, "")
	wantErr(t, p.handshake(t, clientRoots, oldLeaf), "unknown certificate authority")
	_, err = p.call(t, standing)
	wantStatus(t, err, codes.Unauthenticated, "does not lead to a root that is trusted now")
}

// TestCertificateExpiresOnStandingConnection: a connection does not outlive
// the certificate that it was opened with.
func TestCertificateExpiresOnStandingConnection(t *testing.T) {
	root := newRoot(t)
	westCA := root.intermediate(t, "west.shop.example")
	p := newPort(t, westCA, root.cert)
	conn := p.dial(t, p.bundle(), westCA.leaf(t, nil, cart))
	_, err := p.call(t, conn)
	wantStatus(t, err, codes.OK, "")
	p.clock.Advance(2 * time.Hour)
	_, err = p.call(t, conn)
	wantStatus(t, err, codes.Unauthenticated, "expired at")
}

// TestUnverifiedCertificateCountsForNothing: should TLS ever be set up so that
// chains are not verified, what a peer shows is not believed.
func TestUnverifiedCertificateCountsForNothing(t *testing.T) {
	root := newRoot(t)
	westCA := root.intermediate(t, "west.shop.example")
	a := must[authn.Authenticator](t)(authn.New(authn.Options{
		TrustDomain: west, Roots: func() trust.Bundle { return trust.NewBundle(root.cert) }, Reviews: authntest.New(time.Now), Now: time.Now,
	}))
	leaf := must[*x509.Certificate](t)(x509.ParseCertificate(westCA.leaf(t, nil, cart).Certificate[0]))
	ctx := peer.NewContext(context.Background(), &peer.Peer{AuthInfo: credentials.TLSInfo{
		State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf, westCA.cert}},
	}})
	_, err := a.Authenticate(ctx)
	wantStatus(t, err, codes.Unauthenticated, "was not verified")
}

func TestPlaintextHasNoCertificate(t *testing.T) {
	root := newRoot(t)
	a := must[authn.Authenticator](t)(authn.New(authn.Options{
		TrustDomain: west, Roots: func() trust.Bundle { return trust.NewBundle(root.cert) }, Reviews: authntest.New(time.Now), Now: time.Now,
	}))
	s := serve(t, a, nil)
	_, err := s.call(t, s.dial(t, nil, nil))
	wantStatus(t, err, codes.Unauthenticated, "no credentials")
}

// TestSessionsAreNotResumed: a resumed session would skip the check of the
// certificate against the roots of that moment.
func TestSessionsAreNotResumed(t *testing.T) {
	root := newRoot(t)
	westCA := root.intermediate(t, "west.shop.example")
	p := newPort(t, westCA, root.cert)
	leaf := westCA.leaf(t, nil, cart)
	config := &tls.Config{
		RootCAs: p.bundle().Pool(), ServerName: serverName, Certificates: []tls.Certificate{*leaf}, NextProtos: []string{"h2"},
		ClientSessionCache: tls.NewLRUClientSessionCache(10),
	}
	for range 3 {
		conn := must[*tls.Conn](t)(tls.Dial("tcp", p.address, config))
		if conn.ConnectionState().DidResume {
			t.Error("a TLS session was resumed")
		}
		_, _ = conn.Read(make([]byte, 100)) // session tickets come after the handshake
		_ = conn.Close()
	}
}

func TestNewWantsItsParts(t *testing.T) {
	for name, o := range map[string]authn.Options{
		"Nothing": {},
		"NoClock": {TrustDomain: west, Roots: func() trust.Bundle { return nil }, Reviews: authntest.New(time.Now)},
	} {
		if _, err := authn.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
