// SPDX-License-Identifier: Apache-2.0

package ca_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"syscall"
	"testing"
	"time"

	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
	"github.com/isthmesh/isthmesh/controlplane/ca"
)

// cpu is the processor time that the process has used, which other load on the
// machine doesn't stretch as it does the clock on the wall.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkSign tells how many certificates one core signs in a second.
func BenchmarkSign(b *testing.B) {
	a := newAuthority(b, &clock{}, memberSigner(b, newRoot(b), west, 0))
	for name, key := range map[string]crypto.Signer{
		"ECDSA": ecKey(b),
		"RSA":   must[*rsa.PrivateKey](b)(rsa.GenerateKey(rand.Reader, 2048)),
	} {
		csr := csrOf(b, key, x509.CertificateRequest{})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				if _, err := a.Sign(ca.Request{CSR: csr, ID: cart}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/(cpu(b)-before).Seconds(), "certs/core-s")
		})
	}
}

// BenchmarkCreateCertificate asks over gRPC and TLS, with a token that was
// reviewed before, many at a time.
func BenchmarkCreateCertificate(b *testing.B) {
	s := newService(b)
	req := &securityv1alpha1.IstioCertificateRequest{Csr: pemCSR(csrOf(b, ecKey(b), x509.CertificateRequest{}))}
	token := s.token(authntest.Token{Pod: "cart-0", PodUID: "uid-0"})
	client := s.client(nil)
	b.SetParallelism(8)
	b.ResetTimer()
	before := cpu(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.create(client, req, token); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/(cpu(b)-before).Seconds(), "certs/core-s") // client and server together
}
