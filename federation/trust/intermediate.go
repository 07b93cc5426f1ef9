// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// HubDomain is the DNS domain of hubs' server names,
// <federation>.<namespace>.federation.isthmesh.dev. It is never resolved. No
// member's intermediate may issue a name in it.
const HubDomain = "federation.isthmesh.dev"

// HubServerName is the name in a hub's certificate for one federation.
func HubServerName(federation, namespace string) string {
	return federation + "." + namespace + "." + HubDomain
}

// IntermediateRequest says what intermediate a member shall get.
type IntermediateRequest struct {
	// CSR in DER. Only its key is used.
	CSR []byte
	// Member names the member in the subject.
	Member string
	// TrustDomain is the only one that the intermediate may issue identities of.
	TrustDomain spiffeid.TrustDomain
	// Validity is DefaultIntermediateValidity when zero; it never goes beyond the root's.
	Validity time.Duration
	Now      time.Time
	Rand     io.Reader
}

// SignIntermediate signs a member's intermediate CA and checks the result
// (CheckIntermediate). The intermediate may sign leaves, not CAs; identities of
// its own trust domain only; and neither names in HubDomain nor IP addresses,
// with which a thief could stand in for the hub. Other DNS names are free: the
// member's control plane and webhooks need some.
func (r *Root) SignIntermediate(req IntermediateRequest) (*x509.Certificate, error) {
	cert, err := r.signIntermediate(req)
	if err != nil {
		return nil, fmt.Errorf("sign intermediate for member %q: %w", req.Member, err)
	}
	return cert, nil
}

func (r *Root) signIntermediate(req IntermediateRequest) (*x509.Certificate, error) {
	if _, err := TrustDomain(req.TrustDomain.Name()); err != nil {
		return nil, err
	}
	if err := r.Check(req.Now); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	key, err := ParseCSR(req.CSR)
	if err != nil {
		return nil, err
	}
	if samePublicKey(key, r.Certificate.PublicKey) {
		return nil, errors.New("certificate request holds the root's own key")
	}
	validity, err := positive(req.Validity, DefaultIntermediateValidity)
	if err != nil {
		return nil, err
	}
	serial, err := NewSerial(req.Rand)
	if err != nil {
		return nil, err
	}
	template := r.intermediateTemplate(req, serial, validity)
	if err := r.try(template, req); err != nil {
		return nil, fmt.Errorf("root %q may not issue for trust domain %q: %w", r.Certificate.Subject, req.TrustDomain.Name(), err)
	}
	cert, err := sign(req.Rand, template, r.Certificate, key, r.Key)
	if err != nil {
		return nil, err
	}
	if err := r.CheckIntermediate(cert, req); err != nil {
		return nil, err
	}
	return cert, nil
}

// try verifies what an intermediate of this template would issue: a root that
// was given may be constrained itself, and then nothing of the member's would be believed.
func (r *Root) try(template *x509.Certificate, req IntermediateRequest) error {
	key, err := GenerateKey(req.Rand)
	if err != nil {
		return err
	}
	id, err := ControlPlaneID(req.TrustDomain)
	if err != nil {
		return err
	}
	intermediate, err := sign(req.Rand, template, r.Certificate, key.Public(), r.Key)
	if err != nil {
		return err
	}
	leaf, err := sign(req.Rand, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: template.NotBefore, NotAfter: template.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{id.URL()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{ControlPlaneServiceAccount + "." + ControlPlaneNamespace + ".svc"},
	}, intermediate, key.Public(), key)
	if err != nil {
		return err
	}
	for _, usage := range leaf.ExtKeyUsage {
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots: r.Bundle().Pool(), Intermediates: NewBundle(intermediate).Pool(), CurrentTime: req.Now, KeyUsages: []x509.ExtKeyUsage{usage},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func notAfter(now time.Time, validity time.Duration, limit time.Time) time.Time {
	if t := now.Add(validity); t.Before(limit) {
		return t
	}
	return limit
}

// everyIP is both address families whole.
func everyIP() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}

// CheckIntermediate tells in what a signed intermediate differs from what was
// to be signed, nil when in nothing. The hub asks before it hands one out, a
// member before it uses one.
func (r *Root) CheckIntermediate(cert *x509.Certificate, req IntermediateRequest) error {
	key, err := ParseCSR(req.CSR)
	if err != nil {
		return err
	}
	if !samePublicKey(cert.PublicKey, key) {
		return errors.New("intermediate holds another key than the certificate request")
	}
	if want := intermediateSubject(req).String(); cert.Subject.String() != want {
		return fmt.Errorf("intermediate has subject %q, not %q", cert.Subject, want)
	}
	validity, err := positive(req.Validity, DefaultIntermediateValidity)
	if err != nil {
		return err
	}
	if latest := notAfter(req.Now, validity, r.Certificate.NotAfter); cert.NotAfter.After(latest) {
		return fmt.Errorf("intermediate is valid until %s, beyond %s", cert.NotAfter.UTC().Format(time.RFC3339), latest.UTC().Format(time.RFC3339))
	}
	return CheckMemberCA(cert, r.Bundle(), req.TrustDomain, req.Now)
}

// CheckMemberCA tells why a certificate is not an intermediate that one of the
// roots signed for the trust domain, nil when it is.
func CheckMemberCA(cert *x509.Certificate, roots Bundle, td spiffeid.TrustDomain, now time.Time) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("intermediate is not a CA")
	case cert.MaxPathLen != 0 || !cert.MaxPathLenZero:
		return errors.New("intermediate may sign further CAs: its path length is not 0")
	case !slices.Equal(cert.PermittedURIDomains, []string{td.Name()}) || !cert.PermittedDNSDomainsCritical:
		return fmt.Errorf("intermediate is not constrained to trust domain %q but to %q", td.Name(), cert.PermittedURIDomains)
	case !slices.Contains(cert.ExcludedDNSDomains, HubDomain):
		return fmt.Errorf("intermediate may issue names in %s", HubDomain)
	}
	if err := CheckKey(cert.PublicKey); err != nil {
		return fmt.Errorf("intermediate: %w", err)
	}
	if _, err := issuedByRoot(cert, roots, now); err != nil {
		return fmt.Errorf("intermediate: %w", err)
	}
	return nil
}

func intermediateSubject(req IntermediateRequest) pkix.Name {
	return pkix.Name{CommonName: shorten(req.Member + " intermediate CA"), Organization: []string{organization}}
}

func (r *Root) intermediateTemplate(req IntermediateRequest, serial *big.Int, validity time.Duration) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               intermediateSubject(req),
		NotBefore:             req.Now.Add(-ClockSkew),
		NotAfter:              notAfter(req.Now, validity, r.Certificate.NotAfter),
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		// The field's name speaks of DNS; it makes the whole extension critical.
		PermittedDNSDomainsCritical: true,
		PermittedURIDomains:         []string{req.TrustDomain.Name()},
		ExcludedDNSDomains:          []string{HubDomain},
		ExcludedIPRanges:            everyIP(),
	}
}
