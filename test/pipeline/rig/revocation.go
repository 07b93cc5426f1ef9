// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Revoke certificates, given as PEM chains: it returns the root's revocation
// list, in PEM. Without any the list is empty.
func (r *Root) Revoke(chains ...[]byte) []byte {
	r.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range chains {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: r.parse(c).SerialNumber, RevocationTime: time.Now().Add(-time.Minute),
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, r.cert, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// Staple is the root's OCSP response, in DER, that a certificate is good.
func (r *Root) Staple(chain []byte) []byte {
	r.t.Helper()
	staple, err := ocsp.CreateResponse(r.cert, r.cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: r.parse(chain).SerialNumber, ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
	}, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	return staple
}

func (r *Root) parse(chain []byte) *x509.Certificate {
	r.t.Helper()
	block, _ := pem.Decode(chain)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// File of the pod that its Envoy can read; it returns the path.
func (p *Pod) File(name string, content []byte) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // Envoy runs as another user
		p.t.Fatal(err)
	}
	return path
}
