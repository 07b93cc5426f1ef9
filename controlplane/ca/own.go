// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto/tls"
	"crypto/x509"
	"sync"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// OwnCertificate is the control plane's own certificate: its server certificate
// for proxies and webhooks, and what it shows to the hub. It renews itself when
// asked for, at half of its life and when the signer or the roots changed.
type OwnCertificate struct {
	authority *Authority
	dnsNames  []string

	mu      sync.Mutex
	current *tls.Certificate
	signer  *Signer
}

// ServerCertificate returns the control plane's certificate for these DNS
// names. It also holds the control plane's identity, which, unlike a DNS name,
// no other member can claim.
func (a *Authority) ServerCertificate(dnsNames []string) *OwnCertificate {
	return &OwnCertificate{authority: a, dnsNames: append([]string(nil), dnsNames...)}
}

// GetCertificate is for tls.Config.GetCertificate.
func (o *OwnCertificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return o.Current()
}

// GetClientCertificate is for tls.Config.GetClientCertificate.
func (o *OwnCertificate) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return o.Current()
}

// Current returns a certificate that is valid now. When a due renewal does not
// succeed, the one at hand is returned for as long as it is valid. Errors match
// ErrNoSigner. PrivateKey is a trust.PrivateKey, and Leaf is set.
func (o *OwnCertificate) Current() (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.authority.settings.Now()
	if o.current != nil && o.signer == o.authority.Signer() && trust.RenewalReason(o.current.Leaf, now) == "" {
		return o.current, nil
	}
	renewed, signer, err := o.renew()
	switch {
	case err == nil:
		o.current, o.signer = renewed, signer
		return renewed, nil
	case o.current != nil && now.Before(o.current.Leaf.NotAfter):
		return o.current, nil
	}
	return nil, err
}

func (o *OwnCertificate) renew() (*tls.Certificate, *Signer, error) {
	s := o.authority.Signer()
	if s == nil {
		return nil, nil, ErrNoSigner
	}
	id, err := trust.ControlPlaneID(o.authority.settings.TrustDomain)
	if err != nil {
		return nil, nil, err
	}
	key, err := trust.GenerateKey(o.authority.settings.Rand)
	if err != nil {
		return nil, nil, err
	}
	signed, err := o.authority.issue(s, key.Public(), Request{ID: id, DNSNames: o.dnsNames})
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(signed.Leaf)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Certificate{Certificate: signed.DER(), PrivateKey: key, Leaf: leaf}, s, nil
}
