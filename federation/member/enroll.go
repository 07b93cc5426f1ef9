// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Enrolment is the Secret isthmesh-enrolment, read.
type Enrolment struct {
	Hub Hub
	// Member is this member's name, Federation "namespace/name".
	Member, Federation string
	TrustDomain        string
	token              trust.Secret
}

// HasToken is false once the member is enrolled.
func (e Enrolment) HasToken() bool { return len(e.token.Reveal()) > 0 }

// ParseEnrolment reads the data of the Secret isthmesh-enrolment. Its errors
// name the key at fault.
func ParseEnrolment(data map[string][]byte) (Enrolment, error) {
	for _, k := range []string{"member", "federation", "address", "server-name", "trust-domain", "roots.pem"} {
		if len(data[k]) == 0 {
			return Enrolment{}, fmt.Errorf("key %q is missing: the hub writes it", k)
		}
	}
	if _, _, err := net.SplitHostPort(string(data["address"])); err != nil {
		return Enrolment{}, fmt.Errorf("key \"address\" is not host:port: %w", err)
	}
	roots, err := trust.ParseBundle(data["roots.pem"])
	if err != nil {
		return Enrolment{}, fmt.Errorf("key \"roots.pem\": %w", err)
	}
	if _, err := trust.TrustDomain(string(data["trust-domain"])); err != nil {
		return Enrolment{}, fmt.Errorf("key \"trust-domain\": %w", err)
	}
	return Enrolment{
		Hub:         Hub{Address: string(data["address"]), ServerName: string(data["server-name"]), Roots: roots},
		Member:      string(data["member"]),
		Federation:  string(data["federation"]),
		TrustDomain: string(data["trust-domain"]),
		token:       trust.NewSecret(data["token"]),
	}, nil
}

// Credential is a new intermediate CA with its key, which was made here and is
// known to nobody else.
type Credential struct {
	Key trust.PrivateKey
	// Certificate is the intermediate; Roots what the federation trusts.
	Certificate *x509.Certificate
	Roots       trust.Bundle

	pem trust.Secret
}

// Data are the keys of the Secret cacerts: ca-cert.pem, ca-key.pem,
// root-cert.pem and cert-chain.pem. It holds the private key.
func (c *Credential) Data() map[string][]byte {
	certificate := trust.EncodeCertificates(c.Certificate)
	return map[string][]byte{
		"ca-cert.pem":    certificate,
		"ca-key.pem":     c.pem.Reveal(),
		"root-cert.pem":  trust.EncodeBundle(c.Roots),
		"cert-chain.pem": certificate,
	}
}

// Enroll makes a key, and trades the token and a request signed with the key
// for an intermediate at the hub, whose certificate it verifies by the
// enrolment's roots. What the hub or the way to it is to blame for is a *HubError.
func Enroll(ctx context.Context, e Enrolment, random io.Reader) (*Credential, error) {
	if !e.HasToken() {
		return nil, errors.New("secret isthmesh-enrolment holds no token: delete it, and the hub writes a new one")
	}
	return request(ctx, e.Hub, e.TrustDomain, nil, random, func(ctx context.Context, c federationv1.FederationClient, csr []byte) (*federationv1.CertificateResponse, error) {
		return c.Enroll(ctx, &federationv1.EnrollRequest{Member: e.Member, Token: string(e.token.Reveal()), Csr: csr})
	})
}

// Renew makes a key and gets a new intermediate for it, showing a leaf of the
// current one. RenewAt tells when. Its errors are those of Enroll.
func Renew(ctx context.Context, h Hub, trustDomain string, current *tls.Certificate, random io.Reader) (*Credential, error) {
	show := func() (*tls.Certificate, error) { return current, nil }
	return request(ctx, h, trustDomain, show, random, func(ctx context.Context, c federationv1.FederationClient, csr []byte) (*federationv1.CertificateResponse, error) {
		return c.Renew(ctx, &federationv1.RenewRequest{Csr: csr})
	})
}

// RenewAt is when an intermediate is to be renewed: at two thirds of its life,
// which leaves a third to a hub that is away.
func RenewAt(intermediate *x509.Certificate) time.Time {
	life := intermediate.NotAfter.Sub(intermediate.NotBefore)
	return intermediate.NotBefore.Add(life / 3 * 2)
}

type call func(context.Context, federationv1.FederationClient, []byte) (*federationv1.CertificateResponse, error)

func request(ctx context.Context, h Hub, trustDomain string, show func() (*tls.Certificate, error), random io.Reader, ask call) (*Credential, error) {
	td, err := trust.TrustDomain(trustDomain)
	if err != nil {
		return nil, fmt.Errorf("trust domain %q: %w", trustDomain, err)
	}
	key, err := trust.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	pem, err := key.PEM()
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(random, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	conn, v, err := h.dial(show)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := ask(ctx, federationv1.NewFederationClient(conn), csr)
	if err != nil {
		return nil, h.explain(err, v)
	}
	roots, err := trust.ParseBundleDER(answer.GetRoots())
	if err != nil {
		return nil, &HubError{Refused, fmt.Sprintf("hub at %s sent roots that can't be used: %v", h.Address, err)}
	}
	cert, err := x509.ParseCertificate(answer.GetCertificate())
	if err != nil {
		return nil, &HubError{Refused, fmt.Sprintf("hub at %s sent a certificate that can't be read: %v", h.Address, err)}
	}
	if public, ok := cert.PublicKey.(interface{ Equal(x crypto.PublicKey) bool }); !ok || !public.Equal(key.Public()) {
		return nil, &HubError{Refused, fmt.Sprintf("hub at %s sent a certificate for another key", h.Address)}
	}
	if err := trust.CheckMemberCA(cert, roots, td, time.Now()); err != nil {
		return nil, &HubError{Refused, fmt.Sprintf("hub at %s sent an intermediate that is not one for %s: %v", h.Address, td, err)}
	}
	return &Credential{Key: key, Certificate: cert, Roots: roots, pem: pem}, nil
}

// requestTimeout bounds a call that asks for a certificate.
const requestTimeout = 20 * time.Second
