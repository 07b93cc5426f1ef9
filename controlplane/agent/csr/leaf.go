// SPDX-License-Identifier: Apache-2.0

package csr

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Key is a private key in PEM (PKCS #8). It is behind a function, since
// whatever fmt can reach it prints, unexported or not.
type Key struct{ pem func() []byte }

// String never shows the key.
func (Key) String() string { return "[redacted]" }

// GoString never shows the key.
func (Key) GoString() string { return "[redacted]" }

// PEM is the key itself, for Envoy alone; nothing when there is none.
func (k Key) PEM() []byte {
	if k.pem == nil {
		return nil
	}
	return k.pem()
}

// Leaf is a workload's certificate, the key to it and what its peers are
// verified by. It is immutable.
type Leaf struct {
	// Chain is PEM: the leaf, then the intermediates.
	Chain []byte
	Key   Key
	// Roots is PEM: those that came with the answer, then those mounted.
	Roots    []byte
	answered []*x509.Certificate
	// NotBefore and NotAfter are the leaf's.
	NotBefore, NotAfter time.Time
	// Serial of the leaf, for logs.
	Serial string
}

// TLS is the certificate for a connection that the agent itself makes.
func (l *Leaf) TLS() (tls.Certificate, error) {
	c, err := tls.X509KeyPair(l.Chain, l.Key.PEM())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("load the workload certificate: %w", err)
	}
	return c, nil
}

// newLeaf puts an answer of the CA together. The last entry of the answer is
// the root (or several); without one, only the mounted roots hold.
func newLeaf(answer []string, key Key, mounted []byte) (*Leaf, error) {
	if len(answer) == 0 {
		return nil, errors.New("the answer has no certificate")
	}
	chainText, rootText := answer[:1], []string(nil)
	if len(answer) > 1 {
		chainText, rootText = answer[:len(answer)-1], answer[len(answer)-1:]
	}
	chain, err := certificates(chainText)
	if err != nil {
		return nil, fmt.Errorf("the answer's chain: %w", err)
	}
	if len(chain) == 0 {
		return nil, errors.New("the answer has no certificate")
	}
	answered, err := certificates(rootText)
	if err != nil {
		return nil, fmt.Errorf("the answer's roots: %w", err)
	}
	roots, err := withMounted(answered, mounted)
	if err != nil {
		return nil, err
	}

	l := &Leaf{
		Chain: encode(chain), Key: key, Roots: encode(roots), answered: answered,
		NotBefore: chain[0].NotBefore, NotAfter: chain[0].NotAfter,
		Serial: chain[0].SerialNumber.Text(16),
	}
	if _, err := l.TLS(); err != nil {
		return nil, fmt.Errorf("the answer's certificate is not for the key that was asked for: %w", err)
	}
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		pool.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between,
		// The clocks of the CA and of this node may differ; peers judge the time.
		CurrentTime: chain[0].NotBefore.Add(chain[0].NotAfter.Sub(chain[0].NotBefore) / 2),
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("the answer's certificate does not lead to a root: %w", err)
	}
	return l, nil
}

// WithRoots is the same leaf with other mounted roots.
func (l *Leaf) WithRoots(mounted []byte) (*Leaf, error) {
	roots, err := withMounted(l.answered, mounted)
	if err != nil {
		return nil, err
	}
	next := *l
	next.Roots = encode(roots)
	return &next, nil
}

func withMounted(answered []*x509.Certificate, mounted []byte) ([]*x509.Certificate, error) {
	more, err := certificates([]string{string(mounted)})
	if err != nil {
		return nil, fmt.Errorf("the mounted roots: %w", err)
	}
	return distinct(slices.Concat(answered, more)), nil
}

func certificates(texts []string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, text := range texts {
		rest := []byte(text)
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type != "CERTIFICATE" {
				continue
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("parse certificate %d: %w", len(out)+1, err)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

func distinct(in []*x509.Certificate) []*x509.Certificate {
	seen := map[string]bool{}
	var out []*x509.Certificate
	for _, c := range in {
		if !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			out = append(out, c)
		}
	}
	return out
}

func encode(in []*x509.Certificate) []byte {
	var out []byte
	for _, c := range in {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
