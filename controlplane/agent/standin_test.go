// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	securityv1 "istio.io/api/security/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/agent/nds"
	"github.com/isthmesh/isthmesh/controlplane/agent/readiness"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

const (
	testToken    = "a token"
	testIdentity = "spiffe://west.shop.example/ns/shop/sa/reviews"
	testServer   = "istiod.istio-system.svc"
	testIstiod   = "spiffe://west.shop.example/ns/istio-system/sa/istiod"
)

// standIn is the control plane that the tests' agent talks to: a CA that signs
// for one token, and xDS for one identity.
type standIn struct {
	securityv1.UnimplementedIstioCertificateServiceServer
	address string
	root    *x509.Certificate
	key     *ecdsa.PrivateKey
	ttl     time.Duration

	listeners, clusters, names, bootstraps *cachev3.LinearCache
	stop                                   func()

	mu     sync.Mutex
	issued []string
	// namesKnown is what the last new stream of names said that it knows.
	namesKnown map[string]string
	// old knows nothing of patches of the bootstrap.
	old bool
	// refused is what was last said of such patches; answered counts answers to them.
	refused  string
	answered int
	// health are the states that the agent told, with a line for each new stream.
	health []string
	// proven is how certificates were asked for: by "token" or "certificate".
	proven []string
	// noToken refuses all tokens, as if they had expired.
	noToken bool
}

func newStandIn(t *testing.T, ttl time.Duration) *standIn {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	root, err := x509.ParseCertificate(der)
	check(t, err)
	c := &standIn{
		root: root, key: key, ttl: ttl,
		listeners: cachev3.NewLinearCache(resourcev3.ListenerType),
		clusters:  cachev3.NewLinearCache(resourcev3.ClusterType),
		names:     cachev3.NewLinearCache(nds.Type), bootstraps: cachev3.NewLinearCache(envoy.BootstrapType),
	}
	c.start(t, fmt.Sprint("127.0.0.1:", freePort(t)))
	return c
}

// start serves; with the address of an earlier time, it is back.
func (c *standIn) start(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	check(t, err)
	c.address = listener.Addr().String()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	id, err := url.Parse(testIstiod)
	check(t, err)
	certificate, err := c.sign(key.Public(), &x509.Certificate{DNSNames: []string{testServer}, URIs: []*url.URL{id}}, time.Hour)
	check(t, err)
	clients := x509.NewCertPool()
	clients.AddCert(c.root)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: clients,
	})), grpc.ChainStreamInterceptor(onlyTestIdentity, c.hears))
	securityv1.RegisterIstioCertificateServiceServer(server, c)
	classify := func(typeURL string) string { return typeURL }
	cache := &cachev3.MuxCache{
		Classify:      func(r *cachev3.Request) string { return classify(r.GetTypeUrl()) },
		ClassifyDelta: func(r *cachev3.DeltaRequest) string { return classify(r.GetTypeUrl()) },
		Caches: map[string]cachev3.Cache{
			resourcev3.ListenerType: c.listeners, resourcev3.ClusterType: c.clusters, nds.Type: c.names, envoy.BootstrapType: c.bootstraps,
		},
	}
	callbacks := serverv3.CallbackFuncs{StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.GetTypeUrl() == nds.Type && r.GetNode() != nil {
			c.namesKnown = r.GetInitialResourceVersions()
		}
		if r.GetTypeUrl() == envoy.BootstrapType {
			if c.old {
				return status.Error(codes.InvalidArgument, "type not known")
			}
			if r.GetResponseNonce() != "" {
				c.answered, c.refused = c.answered+1, r.GetErrorDetail().GetMessage()
			}
		}
		return nil
	}}
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, serverv3.NewServer(t.Context(), cache, callbacks))
	go func() { _ = server.Serve(listener) }()
	c.stop = server.Stop
	t.Cleanup(server.Stop)
}

// onlyTestIdentity lets streams pass that show the workload's certificate.
func onlyTestIdentity(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if !showsTestIdentity(stream.Context()) {
		return status.Error(codes.Unauthenticated, "no certificate of the workload")
	}
	return next(srv, stream)
}

func showsTestIdentity(ctx context.Context) bool {
	p, _ := peer.FromContext(ctx)
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	return ok && len(info.State.VerifiedChains) > 0 && info.State.PeerCertificates[0].URIs[0].String() == testIdentity
}

// hears what streams say of the application's health; the rest is for xDS.
func (c *standIn) hears(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, &hearing{stream, c})
}

type hearing struct {
	grpc.ServerStream
	c *standIn
}

func (h *hearing) RecvMsg(m any) error {
	for {
		if err := h.ServerStream.RecvMsg(m); err != nil {
			return err
		}
		r, ok := m.(*discoveryv3.DeltaDiscoveryRequest)
		if !ok || r.GetTypeUrl() != readiness.Type {
			return nil
		}
		state := "ready"
		if e := r.GetErrorDetail(); e != nil {
			state = fmt.Sprintf("%d %s", e.GetCode(), e.GetMessage())
		}
		h.c.mu.Lock()
		if n := r.GetNode(); n != nil {
			h.c.health = append(h.c.health, "stream of "+n.GetId()+" in "+n.GetMetadata().GetFields()["AUTO_REGISTER_GROUP"].GetStringValue())
		}
		h.c.health = append(h.c.health, state)
		h.c.mu.Unlock()
	}
}

func (c *standIn) CreateCertificate(ctx context.Context, r *securityv1.IstioCertificateRequest) (*securityv1.IstioCertificateResponse, error) {
	how := "certificate"
	if !showsTestIdentity(ctx) {
		how = "token"
		md, _ := metadata.FromIncomingContext(ctx)
		if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+testToken || c.noToken {
			return nil, status.Error(codes.Unauthenticated, "token not known")
		}
	}
	block, _ := pem.Decode([]byte(r.GetCsr()))
	if block == nil {
		return nil, status.Error(codes.InvalidArgument, "no CSR")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || request.CheckSignature() != nil {
		return nil, status.Error(codes.InvalidArgument, "bad CSR")
	}
	id, _ := url.Parse(testIdentity)
	der, err := c.sign(request.PublicKey, &x509.Certificate{URIs: []*url.URL{id}}, c.ttl)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.issued, c.proven = append(c.issued, leaf.SerialNumber.Text(16)), append(c.proven, how)
	c.mu.Unlock()
	return &securityv1.IstioCertificateResponse{CertChain: []string{certPEM(der), certPEM(c.root.Raw)}}, nil
}

func (c *standIn) sign(key any, template *x509.Certificate, ttl time.Duration) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now(), time.Now().Add(ttl)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return x509.CreateCertificate(rand.Reader, template, c.root, key, c.key)
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
