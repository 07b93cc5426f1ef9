// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// HubClientConfig is the TLS configuration with which a member dials the hub.
// Roots and clock are asked at each handshake, so both may change. Without
// certificate no client certificate is shown, as for enrolment.
func HubClientConfig(serverName string, roots func() Bundle, certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error), now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		ServerName:           serverName,
		GetClientCertificate: certificate,
		// The roots may change, and the standard check can't demand that a root
		// signed the certificate itself. VerifyConnection below takes its place.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection: func(state tls.ConnectionState) error {
			return VerifyHub(roots(), serverName, state.PeerCertificates, now())
		},
	}
}

// HubServerConfig is the TLS configuration of the hub's listener. certificate
// chooses by server name. A client without certificate gets in, because it may
// want to enrol; one with a certificate must convince verify, which is
// VerifyMember with what the hub knows.
func HubServerConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), verify func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: certificate,
		ClientAuth:     tls.RequestClientCert,
		// A resumed session would not be verified against what is trusted by then.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil
			}
			if verify == nil {
				return errors.New("client certificates are not taken here")
			}
			return verify(state)
		},
	}
}

// ControlPlaneClientConfig is the TLS configuration with which an agent dials
// the control plane of its own member, want. Beside the chain to roots and the
// server name, which every member may issue, the server must have the identity
// want, which no other member may. Without roots nobody is believed.
func ControlPlaneClientConfig(serverName string, want spiffeid.ID, roots *x509.CertPool) *tls.Config {
	if roots == nil {
		roots = x509.NewCertPool() // nil would stand for those of the machine
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: serverName,
		RootCAs:    roots,
		// A resumed session would not be verified against what is trusted by then.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return VerifyControlPlane(want, state.PeerCertificates)
		},
	}
}
