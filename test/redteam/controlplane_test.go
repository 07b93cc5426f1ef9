// SPDX-License-Identifier: Apache-2.0

package redteam

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	securityv1 "istio.io/api/security/v1alpha1"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/nds"
	ndsv1 "github.com/isthmesh/isthmesh/controlplane/agent/nds/v1"
	"github.com/isthmesh/isthmesh/federation/trust"
)

const victimsToken = "token of the victim"

// listening stands where agents look for their control plane, and notes what
// they tell it.
type listening struct {
	securityv1.UnimplementedIstioCertificateServiceServer
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	mu   sync.Mutex
	told []string
}

var errHeard = status.Error(codes.Aborted, "heard")

func (l *listening) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, what)
}

func (l *listening) CreateCertificate(ctx context.Context, _ *securityv1.IstioCertificateRequest) (*securityv1.IstioCertificateResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	l.note(strings.Join(md.Get("authorization"), ","))
	return nil, errHeard
}

func (l *listening) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	l.note(request.GetNode().GetId())
	return errHeard
}

// listen serves with cert until the test ends, and returns the address.
func listen(t *testing.T, cert tls.Certificate) (*listening, string) {
	t.Helper()
	l := &listening{}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})))
	securityv1.RegisterIstioCertificateServiceServer(server, l)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, l)
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return l, listener.Addr().String()
}

// TestFalseControlPlaneAtAnAgent: an agent of east looks for its control plane,
// and west, which may issue the DNS name, answers.
func TestFalseControlPlaneAtAnAgent(t *testing.T) {
	root := newRoot(t)
	east, west := member(t, root, "east"), member(t, root, "west")
	leaf := workload(t, root, east, "shop", "victim")
	named := func(c *x509.Certificate) { c.DNSNames = []string{istiod} }

	certificates := func(ctx context.Context, address string) error {
		_, err := requester(t, root, east.domain, "shop", "victim", address, victimsToken).Request(ctx)
		return err
	}
	names := func(ctx context.Context, address string) error {
		return namesOnce(ctx, &nds.Client{
			Address: address, ServerName: istiod, ServerID: must[spiffeid.ID](t)(trust.ControlPlaneID(east.domain)),
			Node: &corev3.Node{Id: "victim"}, Leaf: func() *csr.Leaf { return leaf },
			Publish: func(map[string]*ndsv1.NameTable_NameInfo) {}, Clock: clock.RealClock{}, Random: func() float64 { return 0 },
		})
	}
	// usual is what an agent does that looks at the chain and the DNS name.
	usual := func(ctx context.Context, address string) error {
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithNoProxy(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			ServerName: istiod, RootCAs: root.Bundle().Pool(), MinVersion: tls.VersionTLS12,
		})))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+victimsToken)
		_, err = securityv1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &securityv1.IstioCertificateRequest{})
		return err
	}

	for name, test := range map[string]struct {
		server tls.Certificate
		agent  func(ctx context.Context, address string) error
		// refused is in the agent's reason; empty when it must tell what it has, told.
		refused, told string
	}{
		"Certificates":                    {east.leaf(t, named, eastIstiod), certificates, "", "Bearer " + victimsToken},
		"CertificatesFromWest":            {west.leaf(t, named, westIstiod), certificates, "is not the control plane", ""},
		"CertificatesFromWestByNameAlone": {west.leaf(t, named), certificates, "is not the control plane", ""},
		"CertificatesFromWestMinted":      {west.leaf(t, named, eastIstiod), certificates, "not permitted", ""},
		"CertificatesFromWorkloadOfEast":  {east.leaf(t, named, eastCart), certificates, "is not the control plane", ""},
		"CertificatesFromWestNoGuard":     {west.leaf(t, named, westIstiod), usual, "", "Bearer " + victimsToken},
		"CertificatesByNameAloneNoGuard":  {west.leaf(t, named), usual, "", "Bearer " + victimsToken},
		"CertificatesFromWorkloadNoGuard": {east.leaf(t, named, eastCart), usual, "", "Bearer " + victimsToken},
		"Names":                           {east.leaf(t, named, eastIstiod), names, "", "victim"},
		"NamesFromWest":                   {west.leaf(t, named, westIstiod), names, "is not the control plane", ""},
		"NamesFromWestByNameAlone":        {west.leaf(t, named), names, "is not the control plane", ""},
		"NamesFromWestMinted":             {west.leaf(t, named, eastIstiod), names, "not permitted", ""},
		"NamesFromWorkloadOfEast":         {east.leaf(t, named, eastCart), names, "is not the control plane", ""},
	} {
		t.Run(name, func(t *testing.T) {
			heard, address := listen(t, test.server)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := test.agent(ctx, address)
			want := test.refused
			if want == "" {
				want = "heard"
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			heard.mu.Lock()
			defer heard.mu.Unlock()
			if got := strings.Join(heard.told, " "); got != test.told {
				t.Errorf("the server was told %q, want %q", got, test.told)
			}
		})
	}
}

// namesOnce runs c until it says why there are no names.
func namesOnce(ctx context.Context, c *nds.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var cause string
	c.Run(logr.NewContext(ctx, funcr.New(func(_, args string) {
		cause = args
		cancel()
	}, funcr.Options{})))
	return errors.New(cause)
}
