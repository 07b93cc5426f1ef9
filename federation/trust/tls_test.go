// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// handshake returns what each side says of a handshake over a pipe.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server)
		err := conn.HandshakeContext(ctx)
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		_ = a.Close() // not conn.Close: a pipe has no buffer for its last words
		done <- err
	}()
	conn := tls.Client(b, client)
	if clientErr = conn.HandshakeContext(ctx); clientErr == nil {
		_, clientErr = conn.Read(make([]byte, 1)) // TLS 1.3 tells a refused client only here
	}
	_ = b.Close()
	return <-done, clientErr
}

func TestHubAndMemberMeet(t *testing.T) {
	root, stranger := newRoot(t), newRoot(t)
	name := trust.HubServerName("shop", "mesh")
	westCA := memberCA(t, root, "west", west)
	clock := func() time.Time { return now }
	hubCert := must[*tls.Certificate](t)(root.HubCertificate(name, rand.Reader, now, 0))
	hub := trust.HubServerConfig(
		func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return hubCert, nil },
		func(state tls.ConnectionState) error {
			_, err := trust.VerifyMember(root.Bundle(), state.PeerCertificates, func(serial string) (trust.Issued, bool) {
				return trust.Issued{Member: "west", TrustDomain: west}, serial == trust.Serial(westCA.cert)
			}, now)
			return err
		})
	leaf := func(ca authority, uri string) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		key := newKey(t)
		cert := ca.issue(t, leafTemplate(uri), key.Public())
		return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{cert.Raw, ca.cert.Raw}, PrivateKey: key}, nil
		}
	}
	thief := newKey(t)
	template := leafTemplate(westIstiod)
	template.DNSNames = []string{name}
	fake := westCA.issue(t, template, thief.Public())
	fakeHub := trust.HubServerConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{fake.Raw, westCA.cert.Raw}, PrivateKey: thief}, nil
	}, nil)

	for test, c := range map[string]struct {
		server       *tls.Config
		roots        *x509.Certificate
		cert         func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
		hubErr, mErr string
	}{
		"Member":       {hub, root.Certificate, leaf(westCA, westIstiod), "", ""},
		"Enrolment":    {hub, root.Certificate, nil, "", ""},
		"Workload":     {hub, root.Certificate, leaf(westCA, "spiffe://west.shop.example/ns/a/sa/b"), "not the control plane", "bad certificate"},
		"FormerMember": {hub, root.Certificate, leaf(memberCA(t, root, "west", west), westIstiod), "no longer", "bad certificate"},
		"OtherRoot":    {hub, root.Certificate, leaf(memberCA(t, stranger, "west", west), westIstiod), "unknown authority", "certificate"},
		"OtherHub":     {hub, stranger.Certificate, nil, "bad certificate", "not signed by a root"},
		"StolenHub":    {fakeHub, root.Certificate, nil, "bad certificate", "not signed by a root"},
	} {
		t.Run(test, func(t *testing.T) {
			roots := func() trust.Bundle { return trust.NewBundle(c.roots) }
			hubErr, memberErr := handshake(t, c.server, trust.HubClientConfig(name, roots, c.cert, clock))
			wantErr(t, hubErr, c.hubErr)
			wantErr(t, memberErr, c.mErr)
		})
	}
}

// TestAgentAndControlPlaneMeet: an agent of west dials, and whoever holds the
// DNS name answers.
func TestAgentAndControlPlaneMeet(t *testing.T) {
	root, stranger := newRoot(t), newRoot(t)
	const name = "istiod.istio-system.svc"
	westCA, eastCA := memberCA(t, root, "west", west), memberCA(t, root, "east", east)
	server := func(ca authority, change func(*x509.Certificate), uris ...string) *tls.Config {
		key, template := newKey(t), leafTemplate(uris...)
		template.DNSNames = []string{name}
		if change != nil {
			change(&template)
		}
		return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{ca.issue(t, template, key.Public()).Raw, ca.cert.Raw}, PrivateKey: key}}}
	}
	signs := func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }
	unnamed := func(c *x509.Certificate) { c.DNSNames = []string{"istiod.other.svc"} }
	const eastIstiod = "spiffe://east.shop.example/ns/istio-system/sa/istiod"
	westID := must[spiffeid.ID](t)(trust.ControlPlaneID(west))

	for test, c := range map[string]struct {
		server *tls.Config
		want   spiffeid.ID
		roots  *x509.CertPool
		err    string
	}{
		"Own":          {server(westCA, nil, westIstiod), westID, root.Bundle().Pool(), ""},
		"OtherMembers": {server(eastCA, nil, eastIstiod), westID, root.Bundle().Pool(), fmt.Sprintf("server with identity %q is not the control plane %q", eastIstiod, westIstiod)},
		"MintedByEast": {server(eastCA, nil, westIstiod), westID, root.Bundle().Pool(), "not permitted"},
		"Workload":     {server(westCA, nil, "spiffe://west.shop.example/ns/istio-system/sa/istiod2"), westID, root.Bundle().Pool(), "is not the control plane"},
		"NoIdentity":   {server(eastCA, nil), westID, root.Bundle().Pool(), "server with identities [] is not the control plane"},
		"Two":          {server(westCA, nil, westIstiod, "spiffe://west.shop.example/ns/a/sa/b"), westID, root.Bundle().Pool(), "/ns/a/sa/b"},
		"MaySign":      {server(westCA, signs, westIstiod), westID, root.Bundle().Pool(), "may sign others"},
		"OtherName":    {server(westCA, unnamed, westIstiod), westID, root.Bundle().Pool(), "istiod.other.svc"},
		"OtherRoot":    {server(westCA, nil, westIstiod), westID, stranger.Bundle().Pool(), "unknown authority"},
		"NoRoots":      {server(westCA, nil, westIstiod), westID, nil, "unknown authority"},
		"NobodyWanted": {server(westCA, nil, westIstiod), spiffeid.ID{}, root.Bundle().Pool(), "is not the control plane"},
	} {
		t.Run(test, func(t *testing.T) {
			config := trust.ControlPlaneClientConfig(name, c.want, c.roots)
			config.Time = func() time.Time { return now }
			_, err := handshake(t, c.server, config)
			wantErr(t, err, c.err)
		})
	}
	wantErr(t, trust.VerifyControlPlane(westID, nil), "no certificate")
}

// TestAgentResumesNoSession: what is trusted may have changed since, so that
// the whole chain is shown each time, even where somebody adds a cache.
func TestAgentResumesNoSession(t *testing.T) {
	root := newRoot(t)
	ca, key, template := memberCA(t, root, "west", west), newKey(t), leafTemplate(westIstiod)
	template.DNSNames = []string{"istiod.istio-system.svc"}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{ca.issue(t, template, key.Public()).Raw, ca.cert.Raw}, PrivateKey: key}}}
	client := trust.ControlPlaneClientConfig("istiod.istio-system.svc", must[spiffeid.ID](t)(trust.ControlPlaneID(west)), root.Bundle().Pool())
	client.Time = func() time.Time { return now }
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	verify := client.VerifyConnection
	client.VerifyConnection = func(state tls.ConnectionState) error {
		if state.DidResume {
			t.Error("the session was resumed")
		}
		return verify(state)
	}
	for range 2 {
		_, err := handshake(t, server, client)
		wantErr(t, err, "")
	}
}
