// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// Names that Istio's users know.
const (
	CACertsSecret    = "cacerts"
	SelfSignedSecret = "istio-ca-secret"
)

// The keys of those Secrets.
const (
	caCertKey    = "ca-cert.pem"
	caKeyKey     = "ca-key.pem"
	rootCertKey  = "root-cert.pem"
	certChainKey = "cert-chain.pem"
	// As cert-manager writes them; Istio takes these too.
	tlsCrtKey = "tls.crt"
	tlsKeyKey = "tls.key"
	tlsCAKey  = "ca.crt"
)

// LoadCACerts makes a Signer of the data of a Secret like cacerts: ca-cert.pem,
// ca-key.pem, root-cert.pem and cert-chain.pem, or tls.crt, tls.key and ca.crt.
// Without root-cert.pem, a self-signed CA is its own root. The error names the
// key of the Secret at fault; the caller adds the Secret.
func LoadCACerts(data map[string][]byte, now time.Time) (*Signer, error) {
	names := [4]string{caCertKey, caKeyKey, rootCertKey, certChainKey}
	if _, ok := data[caCertKey]; !ok && data[tlsCrtKey] != nil {
		names = [4]string{tlsCrtKey, tlsKeyKey, tlsCAKey, ""}
	}
	certs, err := certificates(data, names[0])
	if err != nil {
		return nil, err
	}
	keyPEM, ok := data[names[1]]
	if !ok {
		return nil, fmt.Errorf("key %q is missing", names[1])
	}
	key, err := trust.ParsePrivateKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", names[1], err)
	}
	others := certs[1:]
	if _, ok := data[names[3]]; ok {
		chain, err := certificates(data, names[3])
		if err != nil {
			return nil, err
		}
		others = append(others, chain...)
	}
	roots, err := rootsOf(data, names[2], certs[0])
	if err != nil {
		return nil, err
	}
	signer, err := NewSigner(certs[0], key, others, roots, now)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", names[0], err)
	}
	return signer, nil
}

func certificates(data map[string][]byte, name string) ([]*x509.Certificate, error) {
	text, ok := data[name]
	if !ok {
		return nil, fmt.Errorf("key %q is missing", name)
	}
	certs, err := trust.ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", name, err)
	}
	return certs, nil
}

func rootsOf(data map[string][]byte, name string, ca *x509.Certificate) (trust.Bundle, error) {
	text, ok := data[name]
	if !ok {
		if ca.CheckSignatureFrom(ca) == nil {
			return trust.NewBundle(ca), nil
		}
		return nil, fmt.Errorf("key %q is missing: it is needed because the CA certificate is not self-signed", name)
	}
	roots, err := trust.ParseBundle(text)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", name, err)
	}
	return roots, nil
}

// EncodeCACerts is the data of a Secret like cacerts that LoadCACerts reads
// back. It holds the private key: write it to that Secret and nowhere else.
func EncodeCACerts(s *Signer) (map[string][]byte, error) {
	if s == nil {
		return nil, errors.New("no signer")
	}
	key, err := s.key.PEM()
	if err != nil {
		return nil, err
	}
	chain := trust.EncodeCertificates(s.chain...)
	if len(chain) == 0 {
		chain = trust.EncodeCertificates(s.certificate)
	}
	return map[string][]byte{
		caCertKey:    trust.EncodeCertificates(s.certificate),
		caKeyKey:     key.Reveal(),
		rootCertKey:  []byte(s.rootsPEM),
		certChainKey: chain,
	}, nil
}
