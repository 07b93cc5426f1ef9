// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// DefaultTTL is the life of a leaf when nothing else is asked for, as in Istio.
const DefaultTTL = 24 * time.Hour

// Why Sign refuses. Its errors match one of them by errors.Is.
var (
	// ErrRequest: what was asked for can't be signed.
	ErrRequest = errors.New("certificate request refused")
	// ErrNoSigner: there is nothing to sign with yet, or it has expired.
	ErrNoSigner = errors.New("the CA can't sign now")
)

// Settings of an Authority.
type Settings struct {
	// TrustDomain is the only one whose identities are issued.
	TrustDomain spiffeid.TrustDomain
	// TTL is the life of a leaf when the request names none; DefaultTTL when zero.
	TTL time.Duration
	// MaxTTL is the longest life that a request gets; TTL when zero. There is no
	// revocation, so a stolen leaf is good for as long as this.
	MaxTTL time.Duration
	Now    func() time.Time
	Rand   io.Reader
}

// Authority signs leaves with the signer that is in use, which can be exchanged
// while it works.
type Authority struct {
	settings Settings
	signer   atomic.Pointer[Signer]
}

// NewAuthority returns an Authority that can't sign until Use.
func NewAuthority(settings Settings) (*Authority, error) {
	switch {
	case settings.TrustDomain.IsZero():
		return nil, errors.New("a CA needs a trust domain")
	case settings.Now == nil || settings.Rand == nil:
		return nil, errors.New("a CA needs a clock and randomness")
	case settings.TTL < 0 || settings.MaxTTL < 0:
		return nil, fmt.Errorf("life of certificates is negative: %s, at most %s", settings.TTL, settings.MaxTTL)
	}
	if settings.TTL == 0 {
		settings.TTL = DefaultTTL
	}
	if settings.MaxTTL < settings.TTL {
		settings.MaxTTL = settings.TTL
	}
	return &Authority{settings: settings}, nil
}

// Use makes the signer the one that signs from now on. It signs a leaf for
// trial first, so a signer whose own constraints forbid the member's trust
// domain is refused here and the one in use stays.
func (a *Authority) Use(s *Signer) error {
	if err := a.try(s); err != nil {
		return fmt.Errorf("CA certificate %q can't be used in trust domain %q: %w", s.certificate.Subject, a.settings.TrustDomain.Name(), err)
	}
	a.signer.Store(s)
	return nil
}

// Signer is the one in use, nil before the first Use.
func (a *Authority) Signer() *Signer { return a.signer.Load() }

// TrustDomain whose identities are issued.
func (a *Authority) TrustDomain() spiffeid.TrustDomain { return a.settings.TrustDomain }

// Roots are all CAs that the member trusts, none before the first Use.
func (a *Authority) Roots() trust.Bundle {
	if s := a.signer.Load(); s != nil {
		return s.roots
	}
	return nil
}

// Request for a leaf. The identity is what authentication found, never what
// the CSR says.
type Request struct {
	// CSR in DER; only its key is used.
	CSR []byte
	ID  spiffeid.ID
	// DNSNames beside the identity: names of the control plane's own server
	// certificate, and what the CA itself attests about a workload.
	DNSNames []string
	// TTL asked for: zero for the standard one.
	TTL time.Duration
}

// Certificate is a signed leaf and what goes with it.
type Certificate struct {
	// Leaf in DER.
	Leaf []byte
	// NotAfter of the leaf.
	NotAfter time.Time
	// Trimmed: the life is shorter than asked for, because of MaxTTL or the signer's own end.
	Trimmed bool
	// Signer that signed.
	Signer *Signer
}

// DER is the chain that a TLS peer shows: leaf and intermediates, without root.
func (c *Certificate) DER() [][]byte {
	out := [][]byte{c.Leaf}
	for _, i := range c.Signer.chain {
		out = append(out, i.Raw)
	}
	return out
}

// PEM is the answer that Istio's agents expect: leaf, intermediates, and as the
// last element all trusted roots.
func (c *Certificate) PEM() []string {
	out := make([]string, 0, len(c.Signer.chainPEM)+2)
	out = append(out, string(trust.EncodeCertificateDER(c.Leaf)))
	out = append(out, c.Signer.chainPEM...)
	return append(out, c.Signer.rootsPEM)
}

// Sign signs a leaf. Errors match ErrRequest when the request is at fault and
// ErrNoSigner when the CA is.
func (a *Authority) Sign(req Request) (*Certificate, error) {
	s := a.signer.Load()
	if s == nil {
		return nil, fmt.Errorf("%w: it has no signing certificate yet", ErrNoSigner)
	}
	key, err := trust.ParseCSR(req.CSR)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return a.issue(s, key, req)
}

// issue signs a leaf for a public key that the caller is known to hold.
func (a *Authority) issue(s *Signer, key any, req Request) (*Certificate, error) {
	now := a.settings.Now()
	switch {
	case !now.Before(s.notAfter):
		return nil, fmt.Errorf("%w: its certificate %q, or one above it, expired at %s", ErrNoSigner, s.certificate.Subject, s.notAfter.UTC().Format(time.RFC3339))
	case req.TTL < 0:
		return nil, fmt.Errorf("%w: life of %s is negative", ErrRequest, req.TTL)
	case !req.ID.MemberOf(a.settings.TrustDomain):
		return nil, fmt.Errorf("%w: identity %q is not of trust domain %q", ErrRequest, req.ID, a.settings.TrustDomain.Name())
	case req.ID.Path() == "":
		return nil, fmt.Errorf("%w: identity %q has no path", ErrRequest, req.ID)
	}
	end, trimmed := a.end(now, req.TTL, s.notAfter)
	serial, err := trust.NewSerial(a.settings.Rand)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSigner, err)
	}
	usage := x509.KeyUsageDigitalSignature
	if _, ok := key.(*rsa.PublicKey); ok {
		usage |= x509.KeyUsageKeyEncipherment
	}
	der, err := x509.CreateCertificate(a.settings.Rand, &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             now.Add(-trust.ClockSkew),
		NotAfter:              end,
		BasicConstraintsValid: true,
		KeyUsage:              usage,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:                  []*url.URL{req.ID.URL()},
		DNSNames:              req.DNSNames,
	}, s.certificate, key, s.key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSigner, err)
	}
	return &Certificate{Leaf: der, NotAfter: end, Trimmed: trimmed, Signer: s}, nil
}

// end of a leaf's life, in whole seconds as X.509 writes it.
func (a *Authority) end(now time.Time, ttl time.Duration, limit time.Time) (end time.Time, trimmed bool) {
	if ttl == 0 {
		ttl = a.settings.TTL
	}
	if ttl > a.settings.MaxTTL {
		ttl, trimmed = a.settings.MaxTTL, true
	}
	end = now.Add(ttl)
	if end.After(limit) {
		end, trimmed = limit, true
	}
	return end.UTC().Truncate(time.Second), trimmed
}

// try signs a leaf with the signer and verifies it as a peer would.
func (a *Authority) try(s *Signer) error {
	key, err := trust.GenerateKey(a.settings.Rand)
	if err != nil {
		return err
	}
	id, err := trust.ControlPlaneID(a.settings.TrustDomain)
	if err != nil {
		return err
	}
	signed, err := a.issue(s, key.Public(), Request{ID: id})
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(signed.Leaf)
	if err != nil {
		return fmt.Errorf("read what it signed: %w", err)
	}
	between := x509.NewCertPool()
	for _, c := range s.chain {
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: s.roots.Pool(), Intermediates: between, CurrentTime: a.settings.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return err
}
