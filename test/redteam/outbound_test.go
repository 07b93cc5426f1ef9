// SPDX-License-Identifier: Apache-2.0

package redteam

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/trust"
)

const (
	eastIstiod = "spiffe://east.shop.example/ns/istio-system/sa/istiod"
	westIstiod = "spiffe://west.shop.example/ns/istio-system/sa/istiod"
)

// expecting is the TLS context towards a service with one identity.
func expecting(identity string) *corev3.TransportSocket {
	return envoy.ClientTLS(model.TLSLimits{}, "outbound_.80_._.cart.shop.svc.cluster.local", []string{envoy.ALPNTCP}, []string{identity})
}

// bootstrapped is the TLS context towards the control plane that a proxy with
// this trust domain is started with.
func bootstrapped(t testing.TB, domain spiffeid.TrustDomain) *corev3.TransportSocket {
	t.Helper()
	built := must[*bootstrapv3.Bootstrap](t)(bootstrap.Build(bootstrap.Options{
		Node:      bootstrap.Node{Type: "sidecar", Name: "caller", Namespace: "shop", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
		Discovery: istiod + ":15012", DiscoveryName: istiod, DiscoveryID: must[spiffeid.ID](t)(trust.ControlPlaneID(domain)),
	}))
	for _, c := range built.GetStaticResources().GetClusters() {
		if c.GetName() == bootstrap.XDSCluster {
			return c.GetTransportSocket()
		}
	}
	t.Fatalf("no cluster %q in the bootstrap", bootstrap.XDSCluster)
	return nil
}

// byDNS is the same context, but with a DNS name in place of the identity.
func byDNS(t testing.TB, socket *corev3.TransportSocket, name string) *corev3.TransportSocket {
	t.Helper()
	var context tlsv3.UpstreamTlsContext
	if err := socket.GetTypedConfig().UnmarshalTo(&context); err != nil {
		t.Fatal(err)
	}
	context.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().MatchTypedSubjectAltNames = []*tlsv3.SubjectAltNameMatcher{{
		SanType: tlsv3.SubjectAltNameMatcher_DNS,
		Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: name}},
	}}
	if err := socket.GetTypedConfig().MarshalFrom(&context); err != nil {
		t.Fatal(err)
	}
	return socket
}

// TestFalseServerAtAnEnvoy: a workload of east calls, and west answers.
func TestFalseServerAtAnEnvoy(t *testing.T) {
	root, stranger := newRoot(t), newRoot(t)
	east, west := member(t, root, "east"), member(t, root, "west")
	unconstrained := west.without(t, root, func(c *x509.Certificate) { c.PermittedURIDomains = nil })
	unbarred := west.without(t, root, func(c *x509.Certificate) { c.ExcludedDNSDomains = nil })
	hub := trust.HubServerName("shop", "mesh")
	dns := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames = []string{name} }
	}
	clientOnly := func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

	tests := map[string]struct {
		server  tls.Certificate
		expect  *corev3.TransportSocket
		refused string // is in Envoy's reason; empty when it must go through
	}{
		"Server":              {east.leaf(t, nil, eastCart), expecting(eastCart), ""},
		"ServerOfWest":        {west.leaf(t, nil, westCart), expecting(westCart), ""},
		"OtherAccount":        {east.leaf(t, nil, "spiffe://east.shop.example/ns/shop/sa/pay"), expecting(eastCart), "SAN"},
		"SameAccountInWest":   {west.leaf(t, nil, westCart), expecting(eastCart), "SAN"},
		"MintedByWest":        {west.leaf(t, nil, eastCart), expecting(eastCart), "permitted subtree violation"},
		"MintedByWestNoGuard": {unconstrained.leaf(t, nil, eastCart), expecting(eastCart), ""},
		"PrefixOfIdentity":    {east.leaf(t, nil, eastCart+"-2"), expecting(eastCart), "SAN"},
		"IdentityAsDNSName":   {west.leaf(t, dns(eastCart), westCart), expecting(eastCart), "SAN"},
		"NoIdentity":          {west.leaf(t, dns("cart.shop.svc.cluster.local")), expecting(eastCart), "SAN"},
		"NobodyIsExpected":    {east.leaf(t, nil, eastCart), envoy.ClientTLS(model.TLSLimits{}, "x", []string{envoy.ALPNTCP}, nil), "SAN"},
		"OtherRoot":           {member(t, stranger, "east").leaf(t, nil, eastCart), expecting(eastCart), "unable to get local issuer"},
		"Expired":             {east.leaf(t, expired, eastCart), expecting(eastCart), "certificate has expired"},
		"ClientsCertificate":  {east.leaf(t, clientOnly, eastCart), expecting(eastCart), "unsupported certificate purpose"},
		"SubCA":               {west.ca(t, nil).leaf(t, nil, westCart), expecting(westCart), "path length constraint exceeded"},
		"HubsName":            {west.leaf(t, dns(hub), westIstiod), byDNS(t, expecting(""), hub), "excluded subtree violation"},
		"HubsNameNoGuard":     {unbarred.leaf(t, dns(hub), westIstiod), byDNS(t, expecting(""), hub), ""},
		// Every member's control plane has the same DNS name, so a proxy that
		// expected no more than that name could be led to another member's.
		"ControlPlane":                {east.leaf(t, dns(istiod), eastIstiod), bootstrapped(t, east.domain), ""},
		"ControlPlaneFromWest":        {west.leaf(t, dns(istiod), westIstiod), bootstrapped(t, east.domain), "SAN"},
		"ControlPlaneByNameAlone":     {west.leaf(t, dns(istiod)), bootstrapped(t, east.domain), "SAN"},
		"ControlPlaneMintedByWest":    {west.leaf(t, dns(istiod), eastIstiod), bootstrapped(t, east.domain), "permitted subtree violation"},
		"ControlPlaneFromWestNoGuard": {west.leaf(t, dns(istiod), westIstiod), byDNS(t, bootstrapped(t, east.domain), istiod), ""},
	}
	var upstreams []upstream
	for name, test := range tests {
		address := greet(t, &tls.Config{Certificates: []tls.Certificate{test.server}, NextProtos: []string{envoy.ALPNTCP, "h2"}, MinVersion: tls.VersionTLS12})
		upstreams = append(upstreams, upstream{name, address, test.expect})
	}
	client := start(t, workload(t, root, east, "shop", "caller"), upstreams...)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			admitted, reason := client.outcome(name, func(address string) (net.Conn, error) { return net.Dial("tcp", address) })
			check(t, admitted, reason, test.refused)
		})
	}
}

// TestCorporateRoot: a root that was itself signed by a company's CA is the
// anchor for Envoy, and the company's other CAs are not trusted.
func TestCorporateRoot(t *testing.T) {
	corp := newRoot(t)
	key := newKey(t)
	template := *corp.Certificate
	template.RawSubject, template.MaxPathLen, template.Subject.CommonName = nil, 1, "corp mesh CA"
	parent := *corp.Certificate
	parent.MaxPathLen = -1
	corp.Certificate = sign(t, &parent, &parent, corp.Key, corp.Key)
	root := &trust.Root{Certificate: sign(t, &template, corp.Certificate, key, corp.Key), Key: key}
	east, west := member(t, root, "east"), member(t, root, "west")
	other := issuer{cert: corp.Certificate, key: corp.Key}.ca(t, nil)
	other.above = nil
	victim := start(t, workload(t, root, east, "shop", "cart"))

	for name, test := range map[string]struct {
		cert    tls.Certificate
		refused string
	}{
		"Member":            {west.leaf(t, nil, westCart), ""},
		"MemberShowingAll":  {shown(shown(west.leaf(t, nil, westCart), root.Certificate), corp.Certificate), ""},
		"MintedByWest":      {west.leaf(t, nil, eastCart), "permitted subtree violation"},
		"OtherCorporateCA":  {shown(other.leaf(t, nil, eastCart), corp.Certificate), "self signed certificate"},
		"CorporateCAItself": {issuer{cert: corp.Certificate, key: corp.Key}.leaf(t, nil, eastCart), "self signed certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			admitted, reason := victim.outcome("inbound", func(address string) (net.Conn, error) {
				conn, err := tls.Dial("tcp", address, &tls.Config{
					InsecureSkipVerify: true, NextProtos: []string{envoy.ALPNTCP}, //nolint:gosec // the attacker doesn't care
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &test.cert, nil },
				})
				if err != nil {
					return nil, err
				}
				return conn, nil
			})
			check(t, admitted, reason, test.refused)
		})
	}
}

// TestFalseHub: west's stolen intermediate mints the hub's server name, and a
// member dials it.
func TestFalseHub(t *testing.T) {
	root := newRoot(t)
	west := member(t, root, "west")
	unbarred := west.without(t, root, func(c *x509.Certificate) { c.ExcludedDNSDomains = nil })
	name := trust.HubServerName("shop", "mesh")
	dns := func(c *x509.Certificate) { c.DNSNames = []string{name} }
	roots := func() trust.Bundle { return root.Bundle() }
	members := trust.HubClientConfig(name, roots, nil, time.Now)
	usual := &tls.Config{ServerName: name, RootCAs: root.Bundle().Pool()}

	for test, c := range map[string]struct {
		server  tls.Certificate
		client  *tls.Config
		refused string
	}{
		"Hub":              {*must[*tls.Certificate](t)(root.HubCertificate(name, rand.Reader, time.Now(), 0)), members, ""},
		"FromWest":         {west.leaf(t, dns, westIstiod), members, "not signed by a root of the federation itself"},
		"FromWestUnbarred": {unbarred.leaf(t, dns, westIstiod), members, "not signed by a root of the federation itself"},
		"FromWestToUsual":  {west.leaf(t, dns, westIstiod), usual, "excluded"},
		// Without both defences the false hub is believed.
		"FromWestNoGuard": {unbarred.leaf(t, dns, westIstiod), usual, ""},
	} {
		t.Run(test, func(t *testing.T) {
			conn, err := tls.Dial("tcp", greet(t, &tls.Config{Certificates: []tls.Certificate{c.server}}), c.client)
			if err == nil {
				_, err = io.ReadFull(conn, make([]byte, len(greeting)))
				_ = conn.Close()
			}
			switch {
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("got %v, want it refused with %q", err, c.refused)
			}
		})
	}
}
