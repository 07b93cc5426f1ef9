// SPDX-License-Identifier: Apache-2.0

package ca_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/structpb"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/ca"
)

// FuzzSignCSR: no request makes the CA panic or issue anything but the caller's identity.
func FuzzSignCSR(f *testing.F) {
	root := newRoot(f)
	a := newAuthority(f, &clock{}, memberSigner(f, root, west, 0))
	good := csrOf(f, ecKey(f), x509.CertificateRequest{URIs: []*url.URL{uri(f, "spiffe://east.shop.example/ns/a/sa/b")}, DNSNames: []string{"*"}})
	f.Add(good, int64(0))
	f.Add(csrOf(f, must[*rsa.PrivateKey](f)(rsa.GenerateKey(rand.Reader, 2048)), x509.CertificateRequest{}), int64(3600))
	f.Add(good[:len(good)-1], int64(math.MaxInt64))
	f.Add(append(bytes.Clone(good), 0), int64(-1))
	f.Add([]byte{0x30, 0x80}, int64(1))
	f.Add(root.Certificate.Raw, int64(1))
	f.Fuzz(func(t *testing.T, csr []byte, ttl int64) {
		signed, err := a.Sign(ca.Request{CSR: csr, ID: cart, TTL: time.Duration(ttl)})
		if err != nil {
			return
		}
		leaf := parse(t, signed.Leaf)
		if len(leaf.URIs) != 1 || leaf.URIs[0].String() != cart.String() || leaf.IsCA || len(leaf.DNSNames) > 0 || leaf.NotAfter.After(time.Now().Add(day)) {
			t.Fatalf("issued %v %v until %s", leaf.URIs, leaf.DNSNames, leaf.NotAfter)
		}
	})
}

// FuzzCreateCertificate: the same with the request as it comes from the wire.
func FuzzCreateCertificate(f *testing.F) {
	a := newAuthority(f, &clock{}, memberSigner(f, newRoot(f), west, 0))
	s := ca.NewServer(a, always{}, ca.NewMetrics(prometheus.NewRegistry(), a), nil, 0)
	f.Add(pemCSR(csrOf(f, ecKey(f), x509.CertificateRequest{})), int64(0), "ClusterID", "west")
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\n\n-----END CERTIFICATE REQUEST-----", int64(1), "ImpersonatedIdentity", "spiffe://a/b")
	f.Add("-----BEGIN NEW CERTIFICATE REQUEST-----\nAAAA", int64(-5), "", "\x00")
	f.Fuzz(func(t *testing.T, csr string, seconds int64, key, value string) {
		req := &securityv1alpha1.IstioCertificateRequest{Csr: csr, ValidityDuration: seconds, Metadata: &structpb.Struct{
			Fields: map[string]*structpb.Value{key: structpb.NewStringValue(value), "null": nil},
		}}
		answer, err := s.CreateCertificate(t.Context(), req)
		if err != nil {
			return
		}
		if key == "ImpersonatedIdentity" {
			t.Fatal("another identity could be asked for")
		}
		block, _ := pem.Decode([]byte(answer.GetCertChain()[0]))
		if leaf := parse(t, block.Bytes); len(leaf.URIs) != 1 || leaf.URIs[0].String() != cart.String() {
			t.Fatalf("issued %v", leaf.URIs)
		}
	})
}
