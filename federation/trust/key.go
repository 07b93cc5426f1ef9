// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// The sizes of RSA keys that are accepted. Larger ones would let a caller make
// the CA work for nothing; TLS libraries refuse them too.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// GenerateKey makes an ECDSA P-256 key, the kind used for everything that the mesh makes itself.
func GenerateKey(rand io.Reader) (PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("make key: %w", err)
	}
	return NewPrivateKey(key), nil
}

// CheckKey accepts the public keys that the mesh certifies: ECDSA on P-256 or
// P-384, RSA of 2048 to 8192 bits. Its error names what was found.
func CheckKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
		return fmt.Errorf("ECDSA key on curve %s: use P-256 or P-384", key.Curve.Params().Name)
	case *rsa.PublicKey:
		switch bits := key.N.BitLen(); {
		case bits < minRSABits:
			return fmt.Errorf("RSA key of %d bits: use at least %d", bits, minRSABits)
		case bits > maxRSABits:
			return fmt.Errorf("RSA key of %d bits: use at most %d", bits, maxRSABits)
		}
		return nil
	default:
		return errors.New("key is neither ECDSA nor RSA")
	}
}

// ParseCSR reads a PKCS #10 request, proves that the caller holds the key, and
// returns the key alone: nothing else that a request asks for is ever believed.
func ParseCSR(der []byte) (crypto.PublicKey, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request is not PKCS #10: %w", err)
	}
	// The key is looked at first: checking the signature of a huge one is the costly part.
	if err := CheckKey(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request is not signed by its own key: %w", err)
	}
	return csr.PublicKey, nil
}

// NewCSR makes a PKCS #10 request for the key. It asks for nothing, because
// nothing but its key would be believed.
func NewCSR(key PrivateKey, rand io.Reader) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

// NewSerial returns a random serial number of 128 bits, never zero.
func NewSerial(rand io.Reader) (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fmt.Errorf("read randomness for serial: %w", err)
	}
	b[0] |= 0x40 // never short, so never zero
	b[0] &= 0x7f // never negative in DER
	return new(big.Int).SetBytes(b), nil
}

// Serial writes a certificate's serial number the one way that status and
// records hold it: lower-case hex without leading zeros.
func Serial(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }

func samePublicKey(a, b crypto.PublicKey) bool {
	x, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && b != nil && x.Equal(b)
}
