// SPDX-License-Identifier: Apache-2.0

package redteam

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

const (
	eastCart = "spiffe://east.shop.example/ns/shop/sa/cart"
	westCart = "spiffe://west.shop.example/ns/shop/sa/cart"
)

// TestStolenIntermediateAtAnEnvoy: whoever holds west's intermediate key tries
// to get into a workload of east. It gets in as west, and as nobody else.
func TestStolenIntermediateAtAnEnvoy(t *testing.T) {
	root, stranger := newRoot(t), newRoot(t)
	east, west := member(t, root, "east"), member(t, root, "west")
	foreign := member(t, stranger, "east")
	victim := start(t, workload(t, root, east, "shop", "cart"))

	unconstrained := west.without(t, root, func(c *x509.Certificate) { c.PermittedURIDomains = nil })
	unbarred := west.without(t, root, func(c *x509.Certificate) { c.ExcludedDNSDomains = nil })
	unlimited := west.without(t, root, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = -1, false })
	named := func(domain string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical = true
			c.PermittedURIDomains = []string{domain}
		}
	}
	dns := func(names ...string) func(*x509.Certificate) { return func(c *x509.Certificate) { c.DNSNames = names } }
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	future := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(10 * time.Minute) }
	serverOnly := func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }
	issuing := func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }
	leafAsCA := west.ca(t, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.URIs = false, x509.KeyUsageDigitalSignature, []*url.URL{must[*url.URL](t)(url.Parse(westCart))}
	})
	incomplete := east.leaf(t, nil, eastCart)
	incomplete.Certificate = incomplete.Certificate[:1]
	// West's leaf, with east's intermediate shown in place of its own.
	otherChain := west.leaf(t, nil, eastCart)
	otherChain.Certificate[1] = east.cert.Raw

	for name, test := range map[string]struct {
		cert *tls.Certificate
		// refused is in Envoy's reason; empty when it must let the client in.
		refused string
	}{
		"OwnIdentity":           {ptr(west.leaf(t, nil, westCart)), ""},
		"OwnIdentityWithPeer":   {ptr(west.leaf(t, dns("cart|shop|cart|v1|cart|v1|west"), westCart)), ""},
		"NeighbourInEast":       {ptr(east.leaf(t, nil, "spiffe://east.shop.example/ns/shop/sa/pay")), ""},
		"IdentityOfEast":        {ptr(west.leaf(t, nil, eastCart)), "permitted subtree violation"},
		"IdentityOfEastNoGuard": {ptr(unconstrained.leaf(t, nil, eastCart)), ""},
		"ControlPlaneOfEast":    {ptr(west.leaf(t, nil, "spiffe://east.shop.example/ns/istio-system/sa/istiod")), "permitted subtree violation"},
		"BothIdentities":        {ptr(west.leaf(t, nil, westCart, eastCart)), "permitted subtree violation"},
		"UpperCaseEast":         {ptr(west.leaf(t, nil, "spiffe://EAST.shop.example/ns/shop/sa/cart")), "permitted subtree violation"},
		"UserInfoInHost":        {ptr(west.leaf(t, nil, "spiffe://west.shop.example@east.shop.example/ns/shop/sa/cart")), "invalid name syntax"},
		"PortInHost":            {ptr(west.leaf(t, nil, "spiffe://west.shop.example:x@east.shop.example/ns/shop/sa/cart")), "invalid name syntax"},
		"ParentDomain":          {ptr(west.leaf(t, nil, "spiffe://shop.example/ns/shop/sa/cart")), "permitted subtree violation"},
		"SubDomain":             {ptr(west.leaf(t, nil, "spiffe://x.west.shop.example/ns/shop/sa/cart")), "permitted subtree violation"},
		"SuffixOfDomain":        {ptr(west.leaf(t, nil, "spiffe://evilwest.shop.example/ns/shop/sa/cart")), "permitted subtree violation"},
		"NoAuthority":           {ptr(west.leaf(t, nil, "spiffe:/ns/shop/sa/cart")), "invalid name syntax"},
		"NoIdentity":            {ptr(west.leaf(t, dns("cart.shop.svc"))), "SAN"},
		"HubsName":              {ptr(west.leaf(t, dns("shop.mesh.federation.isthmesh.dev"), westCart)), "excluded subtree violation"},
		"HubsNameNoGuard":       {ptr(unbarred.leaf(t, dns("shop.mesh.federation.isthmesh.dev"), westCart)), ""},
		"AnyAddress":            {ptr(west.leaf(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }, westCart)), "unsupported name constraint type"},

		"SubCA":              {ptr(west.ca(t, nil).leaf(t, nil, westCart)), "path length constraint exceeded"},
		"SubCANoGuard":       {ptr(unlimited.ca(t, nil).leaf(t, nil, westCart)), ""},
		"SubCAOfEast":        {ptr(unlimited.ca(t, named("east.shop.example")).leaf(t, nil, eastCart)), "permitted subtree violation"},
		"LeafSignsLeaf":      {ptr(leafAsCA.leaf(t, nil, westCart)), "unable to get local issuer"},
		"OtherRoot":          {ptr(foreign.leaf(t, nil, eastCart)), "unable to get local issuer"},
		"OtherRootShown":     {ptr(shown(foreign.leaf(t, nil, eastCart), stranger.Certificate)), "self signed certificate"},
		"SelfSigned":         {ptr(issuer{cert: stranger.Certificate, key: stranger.Key}.leaf(t, nil, eastCart)), "self signed certificate"},
		"OtherChain":         {ptr(otherChain), "unable to get local issuer"},
		"Incomplete":         {ptr(incomplete), "unable to get local issuer"},
		"NoCertificate":      {nil, "PEER DID NOT RETURN A CERTIFICATE"},
		"Expired":            {ptr(west.leaf(t, expired, westCart)), "certificate has expired"},
		"NotYetValid":        {ptr(west.leaf(t, future, westCart)), "certificate is not yet valid"},
		"ServersCertificate": {ptr(west.leaf(t, serverOnly, westCart)), "unsupported certificate purpose"},
		"MayIssue":           {ptr(west.leaf(t, issuing, westCart)), ""}, // harmless: see LeafSignsLeaf
	} {
		t.Run(name, func(t *testing.T) {
			admitted, reason := victim.outcome("inbound", func(address string) (net.Conn, error) {
				config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{envoy.ALPNTCP}} //nolint:gosec // the attacker doesn't care
				if test.cert != nil {                                                                // shown even when it is none that the server says it takes
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return test.cert, nil }
				}
				conn, err := tls.Dial("tcp", address, config)
				if err != nil {
					return nil, err // not conn, which would be an interface that isn't nil
				}
				return conn, nil
			})
			check(t, admitted, reason, test.refused)
		})
	}
}

func check(t *testing.T, admitted bool, reason, refused string) {
	t.Helper()
	switch {
	case refused == "" && !admitted:
		t.Errorf("refused: %s", reason)
	case refused != "" && admitted:
		t.Errorf("admitted, want it refused with %q", refused)
	case refused != "" && !strings.Contains(reason, refused):
		t.Errorf("refused for another reason than %q: %s", refused, reason)
	}
}

func ptr[T any](v T) *T { return &v }

// shown is a certificate with its root shown too.
func shown(cert tls.Certificate, root *x509.Certificate) tls.Certificate {
	cert.Certificate = append(cert.Certificate, root.Raw)
	return cert
}
