// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
	"github.com/isthmesh/isthmesh/federation/trust"
)

var west = spiffeid.RequireTrustDomainFromString("west.shop.example")

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// ca is a CA certificate with its key.
type ca struct {
	cert *x509.Certificate
	key  trust.PrivateKey
}

func newRoot(t testing.TB) ca {
	t.Helper()
	r := must[*trust.Root](t)(trust.NewRoot(trust.RootRequest{Federation: "shop", Now: time.Now(), Rand: rand.Reader}))
	return ca{r.Certificate, r.Key}
}

func (c ca) intermediate(t testing.TB, td string) ca {
	t.Helper()
	key := must[trust.PrivateKey](t)(trust.GenerateKey(rand.Reader))
	root := trust.Root{Certificate: c.cert, Key: c.key}
	return ca{must[*x509.Certificate](t)(root.SignIntermediate(trust.IntermediateRequest{
		CSR: must[[]byte](t)(trust.NewCSR(key, rand.Reader)), Member: "m", TrustDomain: spiffeid.RequireTrustDomainFromString(td),
		Now: time.Now(), Rand: rand.Reader,
	})), key}
}

// leaf signs a certificate with these URIs, as the template is after change.
func (c ca) leaf(t testing.TB, change func(*x509.Certificate), uris ...string) *tls.Certificate {
	t.Helper()
	key := must[trust.PrivateKey](t)(trust.GenerateKey(rand.Reader))
	return &tls.Certificate{Certificate: [][]byte{c.sign(t, key, change, uris...).Raw, c.cert.Raw}, PrivateKey: key}
}

func (c ca) sign(t testing.TB, key trust.PrivateKey, change func(*x509.Certificate), uris ...string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: must[*big.Int](t)(trust.NewSerial(rand.Reader)),
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, u := range uris {
		template.URIs = append(template.URIs, must[*url.URL](t)(url.Parse(u)))
	}
	if change != nil {
		change(template)
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, c.cert, key.Public(), c.key))
	return must[*x509.Certificate](t)(x509.ParseCertificate(der))
}

const serverName = "istiod.istio-system.svc"

// server is a gRPC server whose health service answers authenticated callers only.
type server struct {
	address string
	caller  chan *authn.Caller
}

func serve(t testing.TB, a authn.Authenticator, config *tls.Config) *server {
	t.Helper()
	s := &server{caller: make(chan *authn.Caller, 1)}
	options := []grpc.ServerOption{grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		c, err := a.Authenticate(ctx)
		if err != nil {
			return nil, err
		}
		s.caller <- c
		return handle(ctx, req)
	})}
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	g := grpc.NewServer(options...)
	healthv1.RegisterHealthServer(g, health.NewServer())
	s.address = authntest.Serve(t, g)
	return s
}

// dial connects with a client certificate, without one when nil; without TLS when roots is nil.
func (s *server) dial(t testing.TB, roots trust.Bundle, cert *tls.Certificate) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if roots != nil {
		config := &tls.Config{RootCAs: roots.Pool(), ServerName: serverName}
		if cert != nil {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		}
		creds = credentials.NewTLS(config)
	}
	conn := must[*grpc.ClientConn](t)(grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(creds)))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call asks once, with these authorization headers.
func (s *server) call(t testing.TB, conn *grpc.ClientConn, authorization ...string) (*authn.Caller, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, a := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", a)
	}
	if _, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
		return nil, err
	}
	return <-s.caller, nil
}

// handshake tells why the server refuses a client certificate in TLS, nil when it
// doesn't. It only reads, so that the server's alert isn't lost to a broken pipe.
func (s *server) handshake(t testing.TB, roots trust.Bundle, cert *tls.Certificate) error {
	t.Helper()
	conn, err := tls.Dial("tcp", s.address, &tls.Config{
		RootCAs: roots.Pool(), ServerName: serverName, NextProtos: []string{"h2"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil },
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err = conn.Read(make([]byte, 1)) // the server's first HTTP/2 frame, or its alert
	return err
}

// sameCaller compares without a look into identities' unexported parts.
var sameCaller = cmp.Comparer(func(a, b spiffeid.ID) bool { return a == b })

// wantStatus fails unless err has the code and says fragment.
func wantStatus(t testing.TB, err error, code codes.Code, fragment string) {
	t.Helper()
	if got := status.Code(err); got != code {
		t.Errorf("code is %s, want %s: %v", got, code, err)
	}
	if err != nil && !strings.Contains(err.Error(), fragment) {
		t.Errorf("error %q does not say %q", err, fragment)
	}
}

// wantErr fails unless err says fragment.
func wantErr(t testing.TB, err error, fragment string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), fragment) {
		t.Errorf("error %v does not say %q", err, fragment)
	}
}
