// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"time"
)

// HubCertificate makes the hub's server certificate, with a key of its own,
// signed by the root itself: that is how members tell the hub from a member.
// The result's PrivateKey is a PrivateKey, and Leaf is set. Validity is
// DefaultHubValidity when zero and never goes beyond the root's.
func (r *Root) HubCertificate(serverName string, rand io.Reader, now time.Time, validity time.Duration) (*tls.Certificate, error) {
	cert, err := r.hubCertificate(serverName, rand, now, validity)
	if err != nil {
		return nil, fmt.Errorf("make hub certificate for %q: %w", serverName, err)
	}
	return cert, nil
}

func (r *Root) hubCertificate(serverName string, rand io.Reader, now time.Time, validity time.Duration) (*tls.Certificate, error) {
	if err := r.Check(now); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	validity, err := positive(validity, DefaultHubValidity)
	if err != nil {
		return nil, err
	}
	key, err := GenerateKey(rand)
	if err != nil {
		return nil, err
	}
	serial, err := NewSerial(rand)
	if err != nil {
		return nil, err
	}
	leaf, err := sign(rand, &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             now.Add(-ClockSkew),
		NotAfter:              notAfter(now, validity, r.Certificate.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:              []string{serverName},
	}, r.Certificate, key.Public(), r.Key)
	if err != nil {
		return nil, err
	}
	if err := VerifyHub(r.Bundle(), serverName, []*x509.Certificate{leaf}, now); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
