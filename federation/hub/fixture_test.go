// SPDX-License-Identifier: Apache-2.0

package hub_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/member"
	"github.com/isthmesh/isthmesh/federation/trust"
	"github.com/isthmesh/isthmesh/test/goroutines"
)

func TestMain(m *testing.M) { goroutines.Verify(m) }

// fleet is a hub on loopback and the controllers' side of it.
type fleet struct {
	t          testing.TB
	name       string
	serverName string
	root       *trust.Root
	options    hub.Options

	mu      sync.Mutex
	members []hub.Member
	tokens  map[string]*trust.TokenRecord // by member

	server  *hub.Server
	grpc    *grpc.Server
	address string
	conns   *conns
	traffic traffic
}

// traffic counts what crosses the hub's streams.
type traffic struct{ in, out, servicesIn, servicesOut, bytes atomic.Int64 }

func newFleet(t testing.TB, name string, o hub.Options) *fleet {
	t.Helper()
	root, err := trust.NewRoot(trust.RootRequest{Federation: name, Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		t: t, name: "mesh/" + name, serverName: trust.HubServerName(name, "mesh"), root: root, options: o,
		tokens: map[string]*trust.TokenRecord{},
	}
	f.options.Enroller = f
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *fleet) federation() hub.Federation {
	certificate, err := f.root.HubCertificate(f.serverName, rand.Reader, time.Now(), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return hub.Federation{Name: f.name, ServerName: f.serverName, Certificate: certificate, Roots: f.root.Bundle()}
}

// start serves, at the address of the time before, if there was one.
func (f *fleet) start() {
	f.t.Helper()
	f.server = hub.New(f.options)
	f.server.SetFederations([]hub.Federation{f.federation()})
	f.apply(nil)
	f.listen()
}

func (f *fleet) listen() {
	f.t.Helper()
	address := f.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.address = l.Addr().String()
	f.conns = &conns{Listener: l}
	f.grpc = f.server.GRPC(grpc.ChainStreamInterceptor(f.traffic.intercept))
	go f.grpc.Serve(f.conns) //nolint:errcheck // ends with stop
}

func (f *fleet) stop() {
	f.server.Close()
	f.grpc.Stop()
	f.conns.Close() // Stop leaves it open when Serve had not begun
}

// apply changes the members and tells the hub.
func (f *fleet) apply(change func([]hub.Member) []hub.Member) {
	f.mu.Lock()
	if change != nil {
		f.members = change(slices.Clone(f.members))
	}
	members := f.members
	f.mu.Unlock()
	f.server.SetMembers(members)
}

func (f *fleet) hub() member.Hub {
	return member.Hub{Address: f.address, ServerName: f.serverName, Roots: f.root.Bundle()}
}

// conns can cut all connections at once.
type conns struct {
	net.Listener
	mu  sync.Mutex
	all []net.Conn
}

func (c *conns) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		c.all = append(c.all, conn)
		c.mu.Unlock()
	}
	return conn, err
}

func (c *conns) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		conn.Close()
	}
	c.all = nil
}

// cluster is a member with a CA that the hub's root signed.
type cluster struct {
	fleet        *fleet
	name         string
	trustDomain  string
	network      model.NetworkID
	intermediate *x509.Certificate
	key          trust.PrivateKey
	// opened counts its clients, whose instances are named by it.
	opened int
}

// enrol makes a member, as the controllers and an enrolment would.
func (f *fleet) enrol(name string, change func(*hub.Member)) *cluster {
	f.t.Helper()
	c := &cluster{fleet: f, name: name, trustDomain: name + ".shop.example"}
	c.intermediate, c.key = f.intermediate(name, c.trustDomain)
	m := hub.Member{
		Federation: f.name, Name: name, UID: "uid-" + name, Network: model.NetworkID(name), TrustDomain: c.trustDomain,
		Gateways:      []model.GatewayAddress{{Address: "192.0.2.1", Port: 15443}},
		Intermediates: []string{trust.Serial(c.intermediate)},
	}
	if change != nil {
		change(&m)
	}
	c.network = m.Network
	f.apply(func(all []hub.Member) []hub.Member { return append(all, m) })
	return c
}

func (f *fleet) intermediate(name, trustDomain string) (*x509.Certificate, trust.PrivateKey) {
	f.t.Helper()
	key, err := trust.GenerateKey(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		f.t.Fatal(err)
	}
	td, err := trust.TrustDomain(trustDomain)
	if err != nil {
		f.t.Fatal(err)
	}
	cert, err := f.root.SignIntermediate(trust.IntermediateRequest{CSR: csr, Member: name, TrustDomain: td, Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		f.t.Fatal(err)
	}
	return cert, key
}

// leaf is a certificate for any identity, signed by the member's intermediate.
func (c *cluster) leaf(id string) *tls.Certificate {
	c.fleet.t.Helper()
	key, err := trust.GenerateKey(rand.Reader)
	if err != nil {
		c.fleet.t.Fatal(err)
	}
	uri, err := url.Parse(id)
	if err != nil {
		c.fleet.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), URIs: []*url.URL{uri},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, c.intermediate, key.Public(), c.key)
	if err != nil {
		c.fleet.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, c.intermediate.Raw}, PrivateKey: key}
}

func (c *cluster) istiod() *tls.Certificate {
	return c.leaf("spiffe://" + c.trustDomain + "/ns/istio-system/sa/istiod")
}

// client is a running member.Client and the last that it was told.
type client struct {
	*member.Client
	imports atomic.Pointer[model.Imports]
	refused atomic.Pointer[[]member.Refusal]
	stop    func()
}

func (c *cluster) run(change func(*member.Options)) *client {
	c.fleet.t.Helper()
	leaf := c.istiod()
	c.opened++
	out := &client{}
	o := member.Options{
		Hub: c.fleet.hub(), Member: model.ClusterID(c.name), Network: c.network,
		Version: "test", Instance: fmt.Sprint(c.name, "-", c.opened),
		Certificate: func() (*tls.Certificate, error) { return leaf, nil },
		OnImports:   func(i *model.Imports) { out.imports.Store(i) },
		OnRefused:   func(r []member.Refusal) { out.refused.Store(&r) },
		MinBackoff:  5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond, SaveInterval: 5 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	out.Client = member.New(o)
	if err := out.Load(c.fleet.t.Context()); err != nil {
		c.fleet.t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); out.Run(ctx) }() //nolint:errcheck // only ctx ends it
	out.stop = sync.OnceFunc(func() { cancel(); <-done })
	c.fleet.t.Cleanup(out.stop)
	return out
}

// raw opens a stream without any of the client's manners.
func (c *cluster) raw(leaf *tls.Certificate) (federationv1.Federation_SyncClient, *grpc.ClientConn) {
	c.fleet.t.Helper()
	conn := dial(c.fleet.t, c.fleet.address, c.fleet.serverName, leaf, c.fleet.root.Bundle())
	stream, err := federationv1.NewFederationClient(conn).Sync(c.fleet.t.Context())
	if err != nil {
		c.fleet.t.Fatal(err)
	}
	return stream, conn
}

// holds is what the client was told of one service of another member; nil for nothing.
func (c *client) holds(exporter, namespace, name string) *model.Export {
	i := c.imports.Load()
	if i == nil {
		return nil
	}
	for _, m := range i.Members {
		for _, s := range m.Services {
			if string(m.Cluster) == exporter && s.Namespace == namespace && s.Name == name {
				return s
			}
		}
	}
	return nil
}

func (c *client) count() int {
	n := 0
	if i := c.imports.Load(); i != nil {
		for _, m := range i.Members {
			n += len(m.Services)
		}
	}
	return n
}

// exports are n services of one port, with the count that ready tells.
func exports(n int, ready uint32) []*model.Export {
	var out []*model.Export
	for i := range n {
		out = append(out, &model.Export{
			Namespace: "shop", Name: fmt.Sprintf("svc-%04d", i), CreatedUnix: 1_700_000_000,
			ServiceAccounts: []string{"shop/default"},
			Ports: []model.ExportPort{{
				Name: "http", Number: 80, Protocol: model.HTTP,
				Zones:     []model.ZoneCount{{Locality: model.Locality{Region: "eu", Zone: "eu-1"}, Ready: ready}},
				Endpoints: []model.ExportEndpoint{{Address: "10.0.0.1", Port: 8080, MTLS: true}},
			}},
		})
	}
	return out
}

func ready(e *model.Export) uint32 {
	if e == nil {
		return 0
	}
	return e.Ports[0].Zones[0].Ready
}

// eventually waits for a condition, not for a time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}
