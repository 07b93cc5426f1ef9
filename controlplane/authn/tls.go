// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"crypto/tls"
	"crypto/x509"
	"sync"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// ServerConfig is the TLS configuration of the port for proxies. A client
// certificate is not asked for by force, since a proxy without one shows a
// token, but one that is shown must lead to a root of that moment: the roots
// may change while the server runs.
func ServerConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), roots func() trust.Bundle) *tls.Config {
	pools := &poolOf{roots: roots}
	base := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2"},
		GetCertificate: certificate,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      x509.NewCertPool(), // none, should GetConfigForClient ever be lost
		// A resumed session would not be verified against the roots of that moment.
		SessionTicketsDisabled: true,
	}
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		config := base.Clone()
		config.GetConfigForClient = nil
		config.ClientCAs = pools.current()
		return config, nil
	}
	return base
}

// poolOf keeps the pool of the current roots, so that a handshake doesn't make one.
type poolOf struct {
	roots func() trust.Bundle

	mu     sync.Mutex
	bundle trust.Bundle
	pool   *x509.CertPool
}

func (p *poolOf) current() *x509.CertPool {
	bundle := p.roots()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pool == nil || !p.bundle.Equal(bundle) {
		p.bundle, p.pool = bundle, bundle.Pool()
	}
	return p.pool
}
