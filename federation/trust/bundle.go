// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Bundle is the set of CA certificates that are trusted: each once, ordered by
// fingerprint, so that equal sets are equal bytes.
type Bundle []*x509.Certificate

// NewBundle makes a Bundle of certificates in any order, with or without duplicates.
func NewBundle(certs ...*x509.Certificate) Bundle {
	sorted := slices.Clone(certs)
	slices.SortFunc(sorted, func(a, b *x509.Certificate) int {
		x, y := sha256.Sum256(a.Raw), sha256.Sum256(b.Raw)
		return bytes.Compare(x[:], y[:])
	})
	return slices.CompactFunc(sorted, (*x509.Certificate).Equal)
}

// ParseBundle reads one or more CA certificates in PEM. Text around the blocks
// is ignored, as openssl does; a block that is no CA certificate is an error,
// because a bundle that silently lacks a root refuses good peers later.
func ParseBundle(data []byte) (Bundle, error) {
	certs, err := ParseCertificates(data)
	if err != nil {
		return nil, err
	}
	return caBundle(certs)
}

// ParseBundleDER reads CA certificates as they travel between hub and members.
func ParseBundleDER(ders [][]byte) (Bundle, error) {
	certs := make([]*x509.Certificate, len(ders))
	for i, der := range ders {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of %d: %w", i+1, len(ders), err)
		}
		certs[i] = cert
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate")
	}
	return caBundle(certs)
}

func caBundle(certs []*x509.Certificate) (Bundle, error) {
	for i, c := range certs {
		if !c.BasicConstraintsValid || !c.IsCA {
			return nil, fmt.Errorf("certificate %d of %d (subject %q) is not a CA: put only root certificates in a trust bundle", i+1, len(certs), c.Subject)
		}
	}
	return NewBundle(certs...), nil
}

// ParseCertificates reads all certificates of PEM data in order, at least one.
// A block of another type, such as a key, or a broken one is an error that
// doesn't hold it.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	blocks := bytes.Count(data, []byte("-----BEGIN "))
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("PEM block %d of %d is not a certificate but %q", len(certs)+1, blocks, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d of %d: %w", len(certs)+1, blocks, err)
		}
		certs = append(certs, cert)
	}
	switch {
	case blocks == 0:
		return nil, errors.New("no certificate in PEM")
	case len(certs) != blocks: // pem.Decode passes over blocks that it can't read
		return nil, fmt.Errorf("only %d of %d PEM blocks are readable", len(certs), blocks)
	}
	return certs, nil
}

// EncodeBundle writes a bundle in PEM.
func EncodeBundle(b Bundle) []byte { return EncodeCertificates(b...) }

// EncodeCertificates writes certificates in PEM, in the order given.
func EncodeCertificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, EncodeCertificateDER(c.Raw)...)
	}
	return out
}

// EncodeCertificateDER writes one DER certificate in PEM.
func EncodeCertificateDER(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// DER returns the certificates as they travel between hub and members.
func (b Bundle) DER() [][]byte {
	out := make([][]byte, len(b))
	for i, c := range b {
		out[i] = c.Raw
	}
	return out
}

// Pool returns the bundle as crypto/x509 and crypto/tls want it.
func (b Bundle) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range b {
		pool.AddCert(c)
	}
	return pool
}

// Contains is true when cert is one of the bundle.
func (b Bundle) Contains(cert *x509.Certificate) bool {
	return slices.ContainsFunc(b, cert.Equal)
}

// Equal is true when both hold the same certificates.
func (b Bundle) Equal(other Bundle) bool {
	return slices.EqualFunc(b, other, (*x509.Certificate).Equal)
}

// Fingerprint is the SHA-256 of the whole bundle in hex, equal for equal sets.
func (b Bundle) Fingerprint() string {
	h := sha256.New()
	for _, c := range b {
		h.Write(c.Raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// NotAfter is when the first of the bundle expires, zero when it is empty.
func (b Bundle) NotAfter() time.Time {
	var first time.Time
	for _, c := range b {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// Fingerprint is the SHA-256 of a certificate in hex.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
