// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	holder "github.com/isthmesh/isthmesh/controlplane/peer"
	"github.com/isthmesh/isthmesh/federation/trust"
)

var errNoCertificate = errors.New("no client certificate")

// certificates authenticates by the client certificate of the connection.
type certificates struct {
	trustDomain spiffeid.TrustDomain
	roots       func() trust.Bundle
	now         func() time.Time
}

func (c certificates) authenticate(ctx context.Context) (*Caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, errNoCertificate
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil, errNoCertificate
	}
	// Only chains that the handshake verified count, not what the peer sent.
	chain, err := c.current(info.State.VerifiedChains)
	if err != nil {
		return nil, err
	}
	id, err := trust.LeafID(chain[0])
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	if !id.MemberOf(c.trustDomain) {
		return nil, fmt.Errorf("client certificate is of trust domain %q: only %q is served here", id.TrustDomain().Name(), c.trustDomain.Name())
	}
	namespace, account, err := trust.ServiceAccount(id)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	caller := &Caller{Identity: id, Namespace: namespace, ServiceAccount: account, NotAfter: chain[0].NotAfter}
	for _, name := range chain[0].DNSNames {
		if of, ok := holder.Parse(name); ok {
			caller.Holder = of
		}
	}
	for _, cert := range chain {
		if cert.NotAfter.Before(caller.NotAfter) {
			caller.NotAfter = cert.NotAfter
		}
	}
	return caller, nil
}

// current returns a verified chain that is good now too: a connection may be
// older than the removal of its root, and outlive its certificates.
func (c certificates) current(verified [][]*x509.Certificate) ([]*x509.Certificate, error) {
	if len(verified) == 0 {
		return nil, errors.New("client certificate was not verified")
	}
	roots, now := c.roots(), c.now()
	err := errors.New("client certificate does not lead to a root that is trusted now")
	for _, chain := range verified {
		if !roots.Contains(chain[len(chain)-1]) {
			continue
		}
		expired := expired(chain, now)
		if expired == nil {
			return chain, nil
		}
		err = fmt.Errorf("client certificate, or a CA above it, expired at %s", expired.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil, err
}

func expired(chain []*x509.Certificate, now time.Time) *x509.Certificate {
	for _, cert := range chain {
		if !now.Before(cert.NotAfter) {
			return cert
		}
	}
	return nil
}
