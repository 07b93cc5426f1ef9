// SPDX-License-Identifier: Apache-2.0

package redteam

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/federation/trust"
)

const istiod = "istiod.istio-system.svc"

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newKey(t testing.TB) trust.PrivateKey {
	t.Helper()
	return must[trust.PrivateKey](t)(trust.GenerateKey(rand.Reader))
}

func newRoot(t testing.TB) *trust.Root {
	t.Helper()
	return must[*trust.Root](t)(trust.NewRoot(trust.RootRequest{Federation: "shop", Now: time.Now(), Rand: rand.Reader}))
}

// issuer is a CA whose key the attacker holds.
type issuer struct {
	cert *x509.Certificate
	key  trust.PrivateKey
	// domain is the trust domain that it was signed for.
	domain spiffeid.TrustDomain
	// above is what lies between it and the root.
	above []*x509.Certificate
}

// member is the intermediate of a member, as the hub signs it.
func member(t testing.TB, root *trust.Root, name string) issuer {
	t.Helper()
	key := newKey(t)
	domain := must[spiffeid.TrustDomain](t)(trust.MemberTrustDomain(name, "shop.example"))
	return issuer{cert: must[*x509.Certificate](t)(root.SignIntermediate(trust.IntermediateRequest{
		CSR: must[[]byte](t)(trust.NewCSR(key, rand.Reader)), Member: name, TrustDomain: domain, Now: time.Now(), Rand: rand.Reader,
	})), key: key, domain: domain}
}

// without is an intermediate that lacks a defence: what the hub would sign
// if change were its code.
func (i issuer) without(t testing.TB, root *trust.Root, change func(*x509.Certificate)) issuer {
	t.Helper()
	template := *i.cert
	template.RawSubject = nil
	change(&template)
	return issuer{cert: sign(t, &template, root.Certificate, i.key, root.Key), key: i.key}
}

func sign(t testing.TB, template, parent *x509.Certificate, key, parentKey trust.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = must[*big.Int](t)(trust.NewSerial(rand.Reader))
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey))
	return must[*x509.Certificate](t)(x509.ParseCertificate(der))
}

// ca signs another CA below this one.
func (i issuer) ca(t testing.TB, change func(*x509.Certificate)) issuer {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign,
	}
	template.Subject.CommonName = "below " + i.cert.Subject.CommonName
	if change != nil {
		change(template)
	}
	return issuer{cert: sign(t, template, i.cert, key, i.key), key: key, above: append([]*x509.Certificate{i.cert}, i.above...)}
}

// leaf signs a certificate with these URIs, changed as the attacker likes, and
// returns it with the chain to show.
func (i issuer) leaf(t testing.TB, change func(*x509.Certificate), uris ...string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, u := range uris {
		template.URIs = append(template.URIs, must[*url.URL](t)(url.Parse(u)))
	}
	if change != nil {
		change(template)
	}
	out := tls.Certificate{Certificate: [][]byte{sign(t, template, i.cert, key, i.key).Raw, i.cert.Raw}, PrivateKey: key}
	for _, c := range i.above {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out
}

// workload has a member's CA, over its CSR API, issue a workload's certificate
// to the agent.
func workload(t testing.TB, root *trust.Root, i issuer, namespace, account string) *csr.Leaf {
	t.Helper()
	authority := must[*ca.Authority](t)(ca.NewAuthority(ca.Settings{TrustDomain: i.domain, Now: time.Now, Rand: rand.Reader}))
	signer := must[*ca.Signer](t)(ca.NewSigner(i.cert, i.key, nil, root.Bundle(), time.Now()))
	if err := authority.Use(signer); err != nil {
		t.Fatal(err)
	}
	api := authntest.New(time.Now)
	authenticator := must[authn.Authenticator](t)(authn.New(authn.Options{TrustDomain: i.domain, Roots: authority.Roots, Reviews: api, Now: time.Now}))
	own := authority.ServerCertificate([]string{istiod})
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(authn.ServerConfig(own.GetCertificate, authority.Roots))))
	ca.NewServer(authority, authenticator, ca.NewMetrics(prometheus.NewRegistry(), authority), nil, 0).Register(server)
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	token := api.Issue(authntest.Token{Namespace: namespace, ServiceAccount: account})
	return must[*csr.Leaf](t)(requester(t, root, i.domain, namespace, account, listener.Addr().String(), token).Request(ctx))
}

// requester is the part of an agent that asks the control plane of its trust
// domain for a certificate.
func requester(t testing.TB, root *trust.Root, domain spiffeid.TrustDomain, namespace, account, address, token string) *csr.Client {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return &csr.Client{
		Address: address, ServerName: istiod, ServerID: must[spiffeid.ID](t)(trust.ControlPlaneID(domain)),
		RootFile:  write("root-cert.pem", trust.EncodeBundle(root.Bundle())),
		TokenFile: write("token", []byte(token)),
		Identity:  must[spiffeid.ID](t)(trust.WorkloadID(domain, namespace, account)).String(),
		TTL:       time.Hour,
	}
}
