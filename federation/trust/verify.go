// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Issued is what the hub recorded when it signed an intermediate.
type Issued struct {
	Member      string
	TrustDomain spiffeid.TrustDomain
}

// Member is who stands at the other end of a verified connection.
type Member struct {
	Name string
	// Serial of the intermediate that it showed, as Serial writes it.
	Serial string
	// ID of the leaf, the member's control plane.
	ID spiffeid.ID
	// NotAfter is when the first certificate of its chain expires.
	NotAfter time.Time
}

// VerifyMember tells which member's control plane showed the chain of a TLS
// handshake. The chain must be leaf, intermediate, and one of the roots; the
// intermediate must be one that issued knows by its serial; and the leaf must
// carry the control plane's identity in the trust domain that the intermediate
// was signed for. What the peer says of itself counts for nothing.
func VerifyMember(roots Bundle, chain []*x509.Certificate, issued func(serial string) (Issued, bool), now time.Time) (Member, error) {
	if len(chain) == 0 {
		return Member{}, errors.New("no client certificate")
	}
	intermediate, err := viaIntermediate(chain, roots, x509.ExtKeyUsageClientAuth, now)
	if err != nil {
		return Member{}, err
	}
	serial := Serial(intermediate)
	record, ok := issued(serial)
	if !ok {
		return Member{}, fmt.Errorf("intermediate with serial %s is not of a member, or no longer", serial)
	}
	if err := CheckMemberCA(intermediate, roots, record.TrustDomain, now); err != nil {
		return Member{}, err
	}
	want, err := ControlPlaneID(record.TrustDomain)
	if err != nil {
		return Member{}, err
	}
	id, err := LeafID(chain[0])
	if err != nil {
		return Member{}, err
	}
	if id != want {
		return Member{}, fmt.Errorf("identity %q is not the control plane of member %q, which is %q", id, record.Member, want)
	}
	end := chain[0].NotAfter
	if intermediate.NotAfter.Before(end) {
		end = intermediate.NotAfter
	}
	return Member{Name: record.Member, Serial: serial, ID: id, NotAfter: end}, nil
}

// VerifyHub tells why the chain of a TLS handshake is not the hub's, nil when
// it is: a certificate for the server name that one of the roots signed itself.
// A member's intermediate between them is refused, whatever it may issue.
func VerifyHub(roots Bundle, serverName string, chain []*x509.Certificate, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("hub showed no certificate")
	}
	leaf := chain[0]
	if leaf.IsCA {
		return errors.New("hub's certificate is a CA")
	}
	if err := leaf.VerifyHostname(serverName); err != nil {
		return fmt.Errorf("hub's certificate: %w", err)
	}
	// No intermediates are given, so only a root can be the issuer.
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return fmt.Errorf("hub's certificate is not signed by a root of the federation itself: %w", err)
	}
	return nil
}

// VerifyControlPlane tells why a chain, which leads to a root, is not that of
// the control plane want, nil when it is. Its DNS names count for nothing: they
// are the same in every member.
func VerifyControlPlane(want spiffeid.ID, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return fmt.Errorf("server showed no certificate, want the control plane %q", want)
	}
	id, err := LeafID(chain[0])
	if err != nil {
		return fmt.Errorf("server with identities %q is not the control plane %q: %w", chain[0].URIs, want, err)
	}
	if id != want {
		return fmt.Errorf("server with identity %q is not the control plane %q", id, want)
	}
	return nil
}

// LeafID is the identity of an X509-SVID: exactly one URI SAN, which is a
// SPIFFE ID with a path, on a certificate that can't sign others.
func LeafID(cert *x509.Certificate) (spiffeid.ID, error) {
	switch {
	case cert.IsCA:
		return spiffeid.ID{}, errors.New("certificate is a CA's, not a workload's")
	case cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return spiffeid.ID{}, errors.New("certificate may sign others, so it is not a workload's")
	case cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return spiffeid.ID{}, errors.New("certificate lacks key usage digitalSignature")
	}
	id, err := x509svid.IDFromCert(cert)
	if err != nil {
		return spiffeid.ID{}, err
	}
	if id.Path() == "" {
		return spiffeid.ID{}, fmt.Errorf("identity %q has no path", id)
	}
	return id, nil
}

// viaIntermediate verifies leaf, intermediate, root and returns the intermediate.
func viaIntermediate(chain []*x509.Certificate, roots Bundle, usage x509.ExtKeyUsage, now time.Time) (*x509.Certificate, error) {
	pool := x509.NewCertPool()
	for _, c := range chain[1:] {
		pool.AddCert(c)
	}
	verified, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots.Pool(), Intermediates: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	for _, path := range verified {
		if len(path) == 3 {
			return path[1], nil
		}
	}
	return nil, fmt.Errorf("client certificate is %d steps from a root: exactly one intermediate must lie between", len(verified[0])-1)
}

func issuedByRoot(cert *x509.Certificate, roots Bundle, now time.Time) (*x509.Certificate, error) {
	verified, err := cert.Verify(x509.VerifyOptions{Roots: roots.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, fmt.Errorf("not signed by a root of the federation: %w", err)
	}
	path := verified[0]
	if len(path) != 2 {
		return nil, errors.New("is a root itself")
	}
	return path[1], nil
}
