// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/federation/trust"
)

func TestRenewAt(t *testing.T) {
	first, last := time.Duration(1<<62), time.Duration(0)
	for i := range 2000 {
		cert := &x509.Certificate{Raw: []byte{byte(i), byte(i >> 8)}, NotBefore: now, NotAfter: now.Add(100 * time.Hour)}
		after := trust.RenewAt(cert).Sub(now)
		if trust.RenewAt(cert).Sub(now) != after {
			t.Fatal("two answers for one certificate")
		}
		first, last = min(first, after), max(last, after)
	}
	if first < 40*time.Hour || last > 50*time.Hour {
		t.Errorf("renewal between %s and %s of 100 h, want between 40 and 50", first, last)
	}
	if last-first < 9*time.Hour {
		t.Errorf("renewals of 2000 certificates fall into %s", last-first)
	}
}

func TestRenewalReason(t *testing.T) {
	cert := &x509.Certificate{Raw: []byte("x"), NotBefore: now, NotAfter: now.Add(10 * time.Hour)}
	due := trust.RenewAt(cert)
	for name, test := range map[string]struct {
		cert *x509.Certificate
		at   time.Time
		want string
	}{
		"None":     {nil, now, "there is no certificate"},
		"Fresh":    {cert, due.Add(-1), ""},
		"Due":      {cert, due, "half of the certificate's life is over"},
		"Expired":  {cert, cert.NotAfter, "the certificate has expired"},
		"Backward": {&x509.Certificate{NotBefore: now, NotAfter: now.Add(-1)}, now, "the certificate has expired"},
	} {
		if got := trust.RenewalReason(test.cert, test.at); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
