// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"time"
)

// Lifetimes when nothing else is asked for.
const (
	DefaultRootValidity         = 10 * 365 * 24 * time.Hour
	DefaultIntermediateValidity = 365 * 24 * time.Hour
	DefaultHubValidity          = 90 * 24 * time.Hour
)

// ClockSkew is how far clocks may differ: certificates are good from so long
// before they were signed.
const ClockSkew = 2 * time.Minute

const organization = "Isthmesh"

// Root signs the intermediates of a federation's members. Its certificate is
// what members trust; when it was itself signed by a company's CA, that CA is
// not trusted, so that only what this root signed is believed.
type Root struct {
	Certificate *x509.Certificate
	Key         PrivateKey
}

// RootRequest says what root to make.
type RootRequest struct {
	// Federation is its name, for the subject.
	Federation string
	// Validity is DefaultRootValidity when zero.
	Validity time.Duration
	Now      time.Time
	Rand     io.Reader
}

// NewRoot makes a self-signed root with an ECDSA P-256 key. It may sign
// intermediates, which may not sign further CAs.
func NewRoot(req RootRequest) (*Root, error) {
	validity, err := positive(req.Validity, DefaultRootValidity)
	if err != nil {
		return nil, fmt.Errorf("make root CA: %w", err)
	}
	key, err := GenerateKey(req.Rand)
	if err != nil {
		return nil, fmt.Errorf("make root CA: %w", err)
	}
	serial, err := NewSerial(req.Rand)
	if err != nil {
		return nil, fmt.Errorf("make root CA: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: shorten(req.Federation + " root CA"), Organization: []string{organization}},
		NotBefore:             req.Now.Add(-ClockSkew),
		NotAfter:              req.Now.Add(validity),
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := sign(req.Rand, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make root CA: %w", err)
	}
	return &Root{Certificate: cert, Key: key}, nil
}

// ParseRoot reads a root from a Secret's tls.crt and tls.key. The first
// certificate is the root; what follows it, the chain up to a company's CA, is
// checked for being readable and otherwise not used. The error names the key
// of the Secret at fault and the mend, and never holds the private key.
func ParseRoot(tlsCrt []byte, tlsKey Secret, now time.Time) (*Root, error) {
	certs, err := ParseCertificates(tlsCrt)
	if err != nil {
		return nil, fmt.Errorf("tls.crt: %w", err)
	}
	key, err := ParsePrivateKey(tlsKey.Reveal())
	if err != nil {
		return nil, fmt.Errorf("tls.key: %w", err)
	}
	root := &Root{Certificate: certs[0], Key: key}
	if err := root.Check(now); err != nil {
		return nil, fmt.Errorf("tls.crt: %w", err)
	}
	return root, nil
}

// Check tells why the root can't sign intermediates at that time, nil when it can.
func (r *Root) Check(now time.Time) error {
	c := r.Certificate
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return fmt.Errorf("certificate %q is not a CA: give one with CA:TRUE", c.Subject)
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("certificate %q may not sign certificates: give one with key usage keyCertSign", c.Subject)
	case c.MaxPathLen == 0 && c.MaxPathLenZero:
		return fmt.Errorf("certificate %q has path length 0: intermediates of members need at least 1", c.Subject)
	case !samePublicKey(c.PublicKey, r.Key.Public()):
		return fmt.Errorf("the private key does not belong to certificate %q: the CA's own certificate must be the first", c.Subject)
	case now.Before(c.NotBefore):
		return fmt.Errorf("certificate %q is not valid before %s", c.Subject, c.NotBefore.UTC().Format(time.RFC3339))
	case !now.Before(c.NotAfter):
		return fmt.Errorf("certificate %q expired at %s: renew it", c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
	case len(c.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("certificate %q has critical extension %s, which proxies can't check", c.Subject, c.UnhandledCriticalExtensions[0])
	}
	if err := CheckKey(c.PublicKey); err != nil {
		return fmt.Errorf("certificate %q: %w", c.Subject, err)
	}
	return nil
}

// Bundle is the trust bundle that holds only this root.
func (r *Root) Bundle() Bundle { return NewBundle(r.Certificate) }

// PEM encodes the root as a Secret's tls.crt and tls.key.
func (r *Root) PEM() (tlsCrt []byte, tlsKey Secret, err error) {
	key, err := r.Key.PEM()
	if err != nil {
		return nil, Secret{}, err
	}
	return EncodeCertificates(r.Certificate), key, nil
}

func sign(rand io.Reader, template, parent *x509.Certificate, key any, signer PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand, template, parent, key, signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read what was signed: %w", err)
	}
	if !bytes.Equal(cert.RawIssuer, parent.RawSubject) && template != parent {
		return nil, errors.New("what was signed names another issuer")
	}
	return cert, nil
}

func positive(asked, standard time.Duration) (time.Duration, error) {
	switch {
	case asked == 0:
		return standard, nil
	case asked < 0:
		return 0, fmt.Errorf("validity %s is negative", asked)
	}
	return asked, nil
}

// shorten keeps a common name within the 64 characters that X.509 gives it.
func shorten(name string) string {
	const most = 64
	if len(name) <= most {
		return name
	}
	return name[:most-17] + "-" + HashToken(name)[:16]
}
