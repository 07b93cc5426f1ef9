// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"time"
)

// RenewAt is when a certificate is to be renewed: at half of its life, earlier
// by up to a tenth of it. How much is a hash of the certificate, so that those
// that were signed together aren't renewed together, and the answer for one
// certificate never changes.
func RenewAt(cert *x509.Certificate) time.Time {
	life := cert.NotAfter.Sub(cert.NotBefore)
	if life <= 0 {
		return cert.NotBefore
	}
	sum := sha256.Sum256(cert.Raw)
	share := time.Duration(binary.BigEndian.Uint16(sum[:2]))
	return cert.NotBefore.Add(life/2 - life/10/65536*share)
}

// RenewalReason tells why a certificate needs another in its place now, empty
// when it doesn't.
func RenewalReason(cert *x509.Certificate, now time.Time) string {
	switch {
	case cert == nil:
		return "there is no certificate"
	case !now.Before(cert.NotAfter):
		return "the certificate has expired"
	case !now.Before(RenewAt(cert)):
		return "half of the certificate's life is over"
	}
	return ""
}
