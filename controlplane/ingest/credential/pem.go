// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/ocsp"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	blockCertificate = "CERTIFICATE"
	blockCRL         = "X509 CRL"
	// maxBlocks bounds how many certificates one value may hold.
	maxBlocks = 4096
	// minRSA is the shortest RSA key, in bits, that Envoy takes.
	minRSA = 2048
)

// blocks of one type in a PEM text. Blocks of other types are left out, as is
// text around them.
func blocks(text []byte, kind string) ([][]byte, error) {
	var out [][]byte
	for len(text) > 0 {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type != kind {
			continue
		}
		if len(out) == maxBlocks {
			return nil, fmt.Errorf("there are more than %d %s blocks: leave out what is not needed", maxBlocks, kind)
		}
		out = append(out, b.Bytes)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no PEM block %q: put -----BEGIN %s----- and what belongs to it there", kind, kind)
	}
	return out, nil
}

// certificates in a PEM text, and the text without anything else.
func certificates(text []byte) ([]*x509.Certificate, []byte, error) {
	all, err := blocks(text, blockCertificate)
	if err != nil {
		return nil, nil, err
	}
	var clean bytes.Buffer
	out := make([]*x509.Certificate, len(all))
	for i, der := range all {
		if out[i], err = x509.ParseCertificate(der); err != nil {
			return nil, nil, fmt.Errorf("certificate %d does not parse, write it again from its source: %w", i+1, err)
		}
		if err := pem.Encode(&clean, &pem.Block{Type: blockCertificate, Bytes: der}); err != nil {
			return nil, nil, fmt.Errorf("write certificate %d: %w", i+1, err)
		}
	}
	return out, clean.Bytes(), nil
}

// keyPair checks that a certificate chain and a private key belong together and
// that Envoy takes them.
func keyPair(chain, key []byte) ([]byte, model.PrivateBytes, error) {
	none := model.PrivateBytes{}
	all, clean, err := certificates(chain)
	if err != nil {
		return nil, none, err
	}
	if bytes.Contains(key, []byte("ENCRYPTED")) {
		return nil, none, errors.New("the private key is encrypted and nobody could be asked for its passphrase: store it unencrypted")
	}
	if _, err := tls.X509KeyPair(clean, key); err != nil {
		return nil, none, fmt.Errorf("the private key must be PEM and belong to the first certificate of the chain: %w", err)
	}
	switch public := all[0].PublicKey.(type) {
	case *rsa.PublicKey:
		if n := public.N.BitLen(); n < minRSA {
			return nil, none, fmt.Errorf("the RSA key has %d bits and proxies take none below %d: make a longer one", n, minRSA)
		}
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P224() {
			return nil, none, errors.New("proxies take no keys on curve P-224: make one on P-256")
		}
	case ed25519.PublicKey:
		return nil, none, errors.New("proxies take no Ed25519 keys: make an ECDSA key on P-256, or an RSA key")
	}
	return clean, model.Private(bytes.Clone(key)), nil
}

// bundle of CA certificates, cleaned of everything else.
func bundle(text []byte) ([]byte, error) {
	_, clean, err := certificates(text)
	return clean, err
}

// revocations are certificate revocation lists.
func revocations(text []byte) ([]byte, error) {
	all, err := blocks(text, blockCRL)
	if err != nil {
		return nil, err
	}
	var clean bytes.Buffer
	for i, der := range all {
		if _, err := x509.ParseRevocationList(der); err != nil {
			return nil, fmt.Errorf("revocation list %d does not parse, write it again from its source: %w", i+1, err)
		}
		if err := pem.Encode(&clean, &pem.Block{Type: blockCRL, Bytes: der}); err != nil {
			return nil, fmt.Errorf("write revocation list %d: %w", i+1, err)
		}
	}
	return clean.Bytes(), nil
}

// checkStaple tells whether an OCSP response, in DER, is about a certificate.
func checkStaple(staple, chain []byte) error {
	all, _, err := certificates(chain)
	if err != nil {
		return err
	}
	response, err := ocsp.ParseResponse(staple, nil)
	if err != nil {
		return fmt.Errorf("it must be a successful OCSP response in DER: %w", err)
	}
	if response.SerialNumber.Cmp(all[0].SerialNumber) != 0 {
		return errors.New("the OCSP response is about another certificate: fetch it again for this one, or remove it")
	}
	return nil
}
