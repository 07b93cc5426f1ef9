// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// ErrExpired tells that a CA certificate, or one above it, is past its time. NewSigner's
// and LoadCACerts' errors match it by errors.Is; only another certificate mends it.
var ErrExpired = errors.New("expired")

// Signer is a CA certificate with its key, the way from it to a root, and all
// roots that the member trusts. It never changes; a new one takes its place.
type Signer struct {
	certificate *x509.Certificate
	key         trust.PrivateKey
	// chain goes from certificate up to, and without, the root that it ends at;
	// it is empty when the certificate is a root itself.
	chain []*x509.Certificate
	roots trust.Bundle
	// notAfter is when the first certificate on the way to the root expires.
	notAfter time.Time
	// chainPEM and rootsPEM are what answers carry.
	chainPEM []string
	rootsPEM string
}

// NewSigner checks that the key is the certificate's, that the certificate may
// sign leaves, and that it leads to one of the roots, over others of which some
// may be needed and none must be. Errors say what to mend.
func NewSigner(certificate *x509.Certificate, key trust.PrivateKey, others []*x509.Certificate, roots trust.Bundle, now time.Time) (*Signer, error) {
	switch {
	case certificate == nil || key.IsZero():
		return nil, errors.New("a signer needs a certificate and its private key")
	case len(roots) == 0:
		return nil, errors.New("a signer needs at least one trusted root")
	case !certificate.BasicConstraintsValid || !certificate.IsCA:
		return nil, fmt.Errorf("certificate %q is not a CA: give one with CA:TRUE", certificate.Subject)
	case certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("certificate %q may not sign certificates: give one with key usage keyCertSign", certificate.Subject)
	}
	if err := trust.CheckKey(certificate.PublicKey); err != nil {
		return nil, fmt.Errorf("certificate %q: %w", certificate.Subject, err)
	}
	public, ok := key.Public().(interface{ Equal(x crypto.PublicKey) bool })
	if !ok || !public.Equal(certificate.PublicKey) {
		return nil, fmt.Errorf("the private key does not belong to certificate %q", certificate.Subject)
	}
	path, err := pathToRoot(certificate, others, roots, now)
	if err != nil {
		return nil, err
	}
	s := &Signer{certificate: certificate, key: key, chain: path[:len(path)-1], roots: roots, notAfter: path[0].NotAfter}
	for _, c := range path {
		if c.NotAfter.Before(s.notAfter) {
			s.notAfter = c.NotAfter
		}
	}
	for _, c := range s.chain {
		s.chainPEM = append(s.chainPEM, string(trust.EncodeCertificates(c)))
	}
	s.rootsPEM = string(trust.EncodeBundle(roots))
	return s, nil
}

// pathToRoot returns the shortest way from the certificate to a root, both included.
func pathToRoot(certificate *x509.Certificate, others []*x509.Certificate, roots trust.Bundle, now time.Time) ([]*x509.Certificate, error) {
	if roots.Contains(certificate) {
		switch {
		case now.Before(certificate.NotBefore):
			return nil, fmt.Errorf("root certificate %q is not valid before %s", certificate.Subject, certificate.NotBefore.UTC().Format(time.RFC3339))
		case !now.Before(certificate.NotAfter):
			return nil, fmt.Errorf("root certificate %q: %w at %s", certificate.Subject, ErrExpired, certificate.NotAfter.UTC().Format(time.RFC3339))
		}
		return []*x509.Certificate{certificate}, nil
	}
	between := x509.NewCertPool()
	for _, c := range others {
		between.AddCert(c)
	}
	paths, err := certificate.Verify(x509.VerifyOptions{
		Roots: roots.Pool(), Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && !now.Before(invalid.Cert.NotAfter):
		return nil, fmt.Errorf("certificate %q: %w at %s", invalid.Cert.Subject, ErrExpired, invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	case err != nil:
		return nil, fmt.Errorf("certificate %q does not lead to a trusted root: %w", certificate.Subject, err)
	}
	shortest := paths[0]
	for _, p := range paths {
		if len(p) < len(shortest) {
			shortest = p
		}
	}
	return shortest, nil
}

// Certificate is the CA certificate that signs.
func (s *Signer) Certificate() *x509.Certificate { return s.certificate }

// Roots are all CAs that the member trusts.
func (s *Signer) Roots() trust.Bundle { return s.roots }

// NotAfter is when the signer, or what it hangs on, expires: nothing that it
// signs is valid for longer.
func (s *Signer) NotAfter() time.Time { return s.notAfter }

// SelfSigned is true when the signer is itself a root.
func (s *Signer) SelfSigned() bool { return len(s.chain) == 0 }
