// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret holds bytes that nothing prints: no verb of fmt, no encoder, no
// logger. The bytes are behind a func, which even printers that follow
// pointers into unexported fields don't enter.
type Secret struct{ reveal func() []byte }

// NewSecret keeps a copy of b.
func NewSecret(b []byte) Secret {
	kept := append([]byte(nil), b...)
	return Secret{reveal: func() []byte { return kept }}
}

// Reveal returns the bytes, nil for the zero Secret. Hand them only to what needs them.
func (s Secret) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// String hides the bytes.
func (Secret) String() string { return redacted }

// Format hides the bytes from every verb of fmt.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText hides the bytes from JSON, YAML and other encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalYAML hides the bytes.
func (Secret) MarshalYAML() (any, error) { return redacted, nil }

// LogValue hides the bytes from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLog hides the bytes from logr.
func (Secret) MarshalLog() any { return redacted }

// PrivateKey signs, and can't be printed; see Secret. It is a crypto.Signer,
// so that crypto/tls and crypto/x509 take it as it is.
type PrivateKey struct{ reveal func() crypto.Signer }

var _ crypto.Signer = PrivateKey{}

// NewPrivateKey wraps a key.
func NewPrivateKey(key crypto.Signer) PrivateKey {
	return PrivateKey{reveal: func() crypto.Signer { return key }}
}

// IsZero is true for a PrivateKey that holds no key.
func (k PrivateKey) IsZero() bool { return k.reveal == nil }

// Public returns the public half, nil when there is no key.
func (k PrivateKey) Public() crypto.PublicKey {
	if k.reveal == nil {
		return nil
	}
	return k.reveal().Public()
}

// Sign implements crypto.Signer.
func (k PrivateKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.reveal == nil {
		return nil, errors.New("no private key")
	}
	return k.reveal().Sign(rand, digest, opts)
}

// Equal is true when both hold the same key.
func (k PrivateKey) Equal(other PrivateKey) bool {
	return k.reveal != nil && other.reveal != nil && samePublicKey(k.Public(), other.Public())
}

// PEM encodes the key: SEC 1 for elliptic curves and PKCS #1 for RSA, as
// Istio's tools write them, else PKCS #8.
func (k PrivateKey) PEM() (Secret, error) {
	if k.reveal == nil {
		return Secret{}, errors.New("no private key")
	}
	var block pem.Block
	var err error
	switch key := k.reveal().(type) {
	case *ecdsa.PrivateKey:
		block.Type = "EC PRIVATE KEY"
		block.Bytes, err = x509.MarshalECPrivateKey(key)
	case *rsa.PrivateKey:
		block.Type = "RSA PRIVATE KEY"
		block.Bytes = x509.MarshalPKCS1PrivateKey(key)
	default:
		block.Type = "PRIVATE KEY"
		block.Bytes, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("encode private key: %w", err)
	}
	return NewSecret(pem.EncodeToMemory(&block)), nil
}

// String hides the key.
func (PrivateKey) String() string { return redacted }

// Format hides the key from every verb of fmt.
func (PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText hides the key from JSON, YAML and other encoders.
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalYAML hides the key.
func (PrivateKey) MarshalYAML() (any, error) { return redacted, nil }

// LogValue hides the key from slog.
func (PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLog hides the key from logr.
func (PrivateKey) MarshalLog() any { return redacted }

// ParsePrivateKey reads the first private key in PEM data: PKCS #1, SEC 1 or
// PKCS #8. Blocks that are no keys, such as EC parameters, are passed over. Its
// errors never hold any of the data.
func ParsePrivateKey(data []byte) (PrivateKey, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return PrivateKey{}, errors.New("no private key in PEM")
		}
		var key any
		var err error
		switch block.Type {
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return PrivateKey{}, errors.New("the private key is encrypted: decrypt it before it goes into the Secret")
		default:
			continue
		}
		if err != nil {
			return PrivateKey{}, fmt.Errorf("PEM block %q holds no readable key", block.Type)
		}
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			return NewPrivateKey(key), nil
		case *rsa.PrivateKey:
			return NewPrivateKey(key), nil
		case ed25519.PrivateKey:
			return NewPrivateKey(key), nil
		default:
			return PrivateKey{}, fmt.Errorf("PEM block %q holds a key that can't sign", block.Type)
		}
	}
}
