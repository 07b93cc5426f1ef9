// SPDX-License-Identifier: Apache-2.0

package ca_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/controlplane/peer"
	"github.com/isthmesh/isthmesh/federation/trust"
)

const serverName = "istiod.istio-system.svc"

// service is the CA as proxies meet it: over TLS, behind authentication.
type service struct {
	t         testing.TB
	clock     *clock
	root      *trust.Root
	authority *ca.Authority
	api       *authntest.APIServer
	metrics   *prometheus.Registry
	address   string
}

// told is what the holders of certificates are by the pods of their tokens; the others
// can't be found out.
type told map[string]peer.Peer

func (h told) Of(_ context.Context, c *authn.Caller) (peer.Peer, error) {
	if of, ok := h[c.PodName]; ok {
		return of, nil
	}
	if c.Holder != (peer.Peer{}) {
		return c.Holder, nil
	}
	return peer.Peer{Namespace: c.Namespace}, errors.New("nobody knows")
}

func newService(t testing.TB) *service { return newServiceTelling(t, nil) }

func newServiceTelling(t testing.TB, holders told) *service {
	t.Helper()
	s := &service{t: t, clock: &clock{}, root: newRoot(t), metrics: prometheus.NewRegistry()}
	s.api = authntest.New(s.clock.Now)
	s.authority = newAuthority(t, s.clock, memberSigner(t, s.root, west, 0))
	authenticator := must[authn.Authenticator](t)(authn.New(authn.Options{
		TrustDomain: west, Roots: s.authority.Roots, Reviews: s.api, Now: s.clock.Now, Limits: authn.Limits{PeerBurst: 1000},
	}))
	own := s.authority.ServerCertificate([]string{serverName})
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(authn.ServerConfig(own.GetCertificate, s.authority.Roots))))
	var of ca.Holders
	if holders != nil {
		of = holders
	}
	ca.NewServer(s.authority, authenticator, ca.NewMetrics(s.metrics, s.authority), of, 0).Register(g)
	s.address = authntest.Serve(t, g)
	return s
}

// client shows the certificate, none when nil.
func (s *service) client(cert *tls.Certificate) securityv1alpha1.IstioCertificateServiceClient {
	s.t.Helper()
	config := &tls.Config{RootCAs: s.root.Bundle().Pool(), ServerName: serverName}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	conn := must[*grpc.ClientConn](s.t)(grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(credentials.NewTLS(config))))
	s.t.Cleanup(func() { _ = conn.Close() })
	return securityv1alpha1.NewIstioCertificateServiceClient(conn)
}

// create asks for a certificate with these authorization headers.
func (s *service) create(client securityv1alpha1.IstioCertificateServiceClient, req *securityv1alpha1.IstioCertificateRequest, authorization ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, a := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", a)
	}
	answer, err := client.CreateCertificate(ctx, req)
	return answer.GetCertChain(), err
}

func (s *service) token(t authntest.Token) string {
	if t.ServiceAccount == "" {
		t.ServiceAccount = "cart"
	}
	t.Namespace = "shop"
	return "Bearer " + s.api.Issue(t)
}

// checkIssued holds what was issued against what cart may get, whatever was asked for.
func (s *service) checkIssued(t *testing.T, chain []string) *x509.Certificate {
	t.Helper()
	return s.checkNames(t, chain)
}

// checkNames is checkIssued of a certificate that has DNS names.
func (s *service) checkNames(t *testing.T, chain []string, names ...string) *x509.Certificate {
	t.Helper()
	var ders [][]byte
	for _, text := range chain[:len(chain)-1] {
		block, rest := pem.Decode([]byte(text))
		if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
			t.Fatalf("an element of the chain is not one certificate: %q", text)
		}
		ders = append(ders, block.Bytes)
	}
	roots := must[trust.Bundle](t)(trust.ParseBundle([]byte(chain[len(chain)-1])))
	if !roots.Equal(s.root.Bundle()) {
		t.Error("the last element is not the trusted roots")
	}
	id, _, err := x509svid.ParseAndVerify(ders, x509bundle.FromX509Authorities(west, roots))
	if err != nil || id != cart {
		t.Fatalf("issued identity is %q: %v", id, err)
	}
	leaf := parse(t, ders[0])
	switch now := s.clock.Now(); {
	case len(leaf.URIs) != 1, !slices.Equal(leaf.DNSNames, names), len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0:
		t.Errorf("issued names are %v %v %v %v", leaf.URIs, leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses)
	case leaf.Subject.String() != "":
		t.Errorf("issued subject is %q", leaf.Subject)
	case leaf.IsCA, !leaf.BasicConstraintsValid, leaf.KeyUsage&^(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment) != 0:
		t.Errorf("issued a CA: %t, key usage %b", leaf.IsCA, leaf.KeyUsage)
	case len(leaf.ExtKeyUsage) != 2 || len(leaf.UnknownExtKeyUsage) != 0:
		t.Errorf("issued for %v %v", leaf.ExtKeyUsage, leaf.UnknownExtKeyUsage)
	case leaf.NotAfter.After(now.Add(day)), leaf.NotBefore.Before(now.Add(-3 * time.Minute)), leaf.NotAfter.Before(now):
		t.Errorf("issued from %s to %s", leaf.NotBefore, leaf.NotAfter)
	}
	// Key usage, extended key usage, basic constraints, authority's key id, and names.
	if len(leaf.Extensions) != 5 {
		t.Errorf("issued with %d extensions", len(leaf.Extensions))
	}
	return leaf
}

func TestCreateCertificate(t *testing.T) {
	s := newService(t)
	key := newKey(t)
	req := &securityv1alpha1.IstioCertificateRequest{Csr: pemCSR(must[[]byte](t)(trust.NewCSR(key, rand.Reader))), ValidityDuration: 3600}
	token := s.token(authntest.Token{Pod: "cart-0", PodUID: "uid-0"})

	chain, err := s.create(s.client(nil), req, token)
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 3 {
		t.Errorf("chain has %d elements, want leaf, intermediate, roots", len(chain))
	}
	leaf := s.checkIssued(t, chain)
	if life := leaf.NotAfter.Sub(s.clock.Now()); life > time.Hour {
		t.Errorf("asked for one hour, got %s", life)
	}

	// The certificate is proof enough for the next one.
	block, _ := pem.Decode([]byte(chain[1]))
	held := &tls.Certificate{Certificate: [][]byte{leaf.Raw, block.Bytes}, PrivateKey: key}
	chain, err = s.create(s.client(held), req)
	if err != nil {
		t.Fatal(err)
	}
	s.checkIssued(t, chain)

	got := map[string]float64{}
	for _, family := range must[[]*dto.MetricFamily](t)(s.metrics.Gather()) {
		for _, m := range family.GetMetric() {
			got[family.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"citadel_server_csr_count":                    2,
		"citadel_server_success_cert_issuance_count":  2,
		"citadel_server_authentication_failure_count": 0,
		"citadel_server_csr_parsing_err_count":        0,
		"citadel_server_root_cert_expiry_timestamp":   float64(s.root.Certificate.NotAfter.Unix()),
		"citadel_server_cert_chain_expiry_timestamp":  float64(s.authority.Signer().NotAfter().Unix()),
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("metric %s is %g, want %g", name, v, want)
		}
	}
}

// TestHolder: a certificate says of its workload what the CA knows, nothing that the
// request says, and verifies below a member's constrained CA. It is issued whatever
// can't be found out, and the next one for it says the same.
func TestHolder(t *testing.T) {
	of := peer.Peer{
		Workload: "cart-v1", Namespace: "shop", App: "cart", Version: "1..2", CanonicalService: "cart", CanonicalRevision: "v1", Cluster: "west.",
	}
	const known = "cart-v1|shop|cart||cart|v1|"
	s := newServiceTelling(t, told{"cart-0": of})
	key := newKey(t)
	lies := must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"bank|bank|bank|v1|bank|v1|east"}}, ecKey(t)))
	for name, c := range map[string]struct{ pod, want string }{
		"Known": {"cart-0", known}, "Unknown": {"cart-1", "|shop|||||"},
	} {
		t.Run(name, func(t *testing.T) {
			chain, err := s.create(s.client(nil), &securityv1alpha1.IstioCertificateRequest{Csr: pemCSR(lies)}, s.token(authntest.Token{Pod: c.pod, PodUID: "uid"}))
			wantErr(t, err, "")
			s.checkNames(t, chain, c.want)
		})
	}
	chain, err := s.create(s.client(nil), &securityv1alpha1.IstioCertificateRequest{Csr: pemCSR(must[[]byte](t)(trust.NewCSR(key, rand.Reader)))}, s.token(authntest.Token{Pod: "cart-0", PodUID: "uid"}))
	wantErr(t, err, "")
	leaf := s.checkNames(t, chain, known)
	block, _ := pem.Decode([]byte(chain[1]))
	held := &tls.Certificate{Certificate: [][]byte{leaf.Raw, block.Bytes}, PrivateKey: key}
	chain, err = s.create(s.client(held), &securityv1alpha1.IstioCertificateRequest{Csr: pemCSR(lies)})
	wantErr(t, err, "")
	s.checkNames(t, chain, known)
}

// TestCANotReady: a CA without signer is a reason to try again, not the caller's fault.
func TestCANotReady(t *testing.T) {
	s := newService(t)
	token := s.token(authntest.Token{Life: 1000 * day})
	req := &securityv1alpha1.IstioCertificateRequest{Csr: pemCSR(csrOf(t, ecKey(t), x509.CertificateRequest{}))}
	client := s.client(nil)
	_, err := s.create(client, req, token)
	wantErr(t, err, "")
	s.clock.Advance(400 * day) // beyond the signer's end
	_, err = s.create(client, req, token)
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	wantErr(t, err, "expired at")
}

// held is a clock that stops the signer that asks for the time.
type held struct {
	entered chan struct{}
	release chan struct{}
}

func (h held) now() time.Time {
	select {
	case h.entered <- struct{}{}:
		<-h.release
	case <-h.release:
	}
	return time.Now()
}

type always struct{}

func (always) Authenticate(context.Context) (*authn.Caller, error) {
	return &authn.Caller{Identity: cart, Namespace: "shop", ServiceAccount: "cart"}, nil
}

// TestBusySigner: a request that waits for its turn goes when its caller does.
func TestBusySigner(t *testing.T) {
	h := held{make(chan struct{}), make(chan struct{})}
	starting := true
	a := must[*ca.Authority](t)(ca.NewAuthority(ca.Settings{TrustDomain: west, Rand: rand.Reader, Now: func() time.Time {
		if starting {
			return time.Now()
		}
		return h.now()
	}}))
	wantErr(t, a.Use(memberSigner(t, newRoot(t), west, 0)), "")
	starting = false
	server := ca.NewServer(a, always{}, ca.NewMetrics(prometheus.NewRegistry(), a), nil, 1)
	req := &securityv1alpha1.IstioCertificateRequest{Csr: pemCSR(csrOf(t, ecKey(t), x509.CertificateRequest{}))}

	first := make(chan error, 1)
	go func() {
		_, err := server.CreateCertificate(t.Context(), req)
		first <- err
	}()
	<-h.entered // the first has the only place
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := server.CreateCertificate(ctx, req)
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	close(h.release)
	wantErr(t, <-first, "")
}
