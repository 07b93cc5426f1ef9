// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"testing"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/test/security"
)

// TestReplay21Servers (CVE-2020-15104): a gateway that originates TLS takes a
// wildcard in a server's certificate for one label, and for no more.
func TestReplay21Servers(t *testing.T) {
	w := newGate(t, "egress")
	server := w.behind.Listen("0.0.0.0:8443")
	// A session that is resumed shows no certificate.
	shown := &tls.Config{SessionTicketsDisabled: true} //nolint:gosec // as it comes
	var names atomic.Pointer[[]string]
	shown.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair := w.root.Pair(*names.Load()...)
		return &pair, nil
	}
	serveHTTP(tls.NewListener(server, shown))
	for i, c := range []struct {
		name string
		// asked for in the rule, and shown by the server.
		sni      string
		accepted []string
		shown    []string
		want     int
	}{
		{"Itself", "a.b.example.com", []string{"a.b.example.com"}, []string{"a.b.example.com"}, 200},
		{"OneLabel", "a.b.example.com", []string{"a.b.example.com"}, []string{"*.b.example.com"}, 200},
		{"TwoLabels", "a.b.example.com", []string{"a.b.example.com"}, []string{"*.example.com"}, 503},
		{"TwoWildcards", "a.b.example.com", []string{"a.b.example.com"}, []string{"*.*.example.com"}, 503},
		{"Everything", "a.b.example.com", []string{"a.b.example.com"}, []string{"*.com", "*"}, 503},
		{"Parent", "b.example.com", []string{"b.example.com"}, []string{"*.b.example.com"}, 503},
		{"Another", "a.b.example.com", []string{"a.b.example.com"}, []string{"b.b.example.com"}, 503},
		// With neither the request's host is asked for, and verified.
		{"ByHost", "", nil, []string{"*.b.example.com"}, 200},
		{"ByHostTwoLabels", "", nil, []string{"*.example.com"}, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			names.Store(&c.shown)
			in := &w.gate.input
			in.Istio.DestinationRules = []*networking.DestinationRule{{Spec: networkingapi.DestinationRule{
				Host: "outside.example",
				TrafficPolicy: &networkingapi.TrafficPolicy{
					PortLevelSettings: []*networkingapi.TrafficPolicy_PortTrafficPolicy{{
						Port: &networkingapi.PortSelector{Number: 8443},
						Tls: &networkingapi.ClientTLSSettings{
							Mode: networkingapi.ClientTLSSettings_SIMPLE, CredentialName: "door", Sni: c.sni, SubjectAltNames: c.accepted,
						},
						// No connection is used twice, so that each test makes its own.
						ConnectionPool: &networkingapi.ConnectionPoolSettings{Http: &networkingapi.ConnectionPoolSettings_HTTPSettings{MaxRequestsPerConnection: 1}},
					}},
				},
			}}}
			in.Istio.DestinationRules[0].Namespace, in.Istio.DestinationRules[0].Name = "shop", fmt.Sprint("origin-", i)
			w.apply(&security.Scenario{Name: c.name})
			clients := w.clients()
			defer clients.close()
			if got, err := clients.verdict(security.Call{Port: "http-originated", Caller: "plain", Method: "GET", Path: "/", Host: "a.b.example.com"}); err != nil || got != c.want {
				t.Errorf("got %d, want %d: %v", got, c.want, err)
			}
		})
	}
}

// TestReplay21Clients is the same for clients of a gateway that names whom it
// takes: a wildcard in a client's certificate stands for one label, and one
// that is written into the gateway for nothing but itself.
func TestReplay21Clients(t *testing.T) {
	w := newGate(t, "ingress")
	for i, o := range w.gate.input.Istio.Gateways {
		if o.Name == "ingress" {
			o = o.DeepCopy()
			for _, s := range o.Spec.GetServers() {
				if s.GetPort().GetName() == "mutual" {
					s.Tls.SubjectAltNames = []string{"a.b.example.com"}
				}
			}
			w.gate.input.Istio.Gateways[i] = o
		}
	}
	w.apply(&security.Scenario{Name: "no policies"})
	for name, c := range map[string]struct {
		shown []string
		taken bool
	}{
		"Itself":       {[]string{"a.b.example.com"}, true},
		"OneLabel":     {[]string{"*.b.example.com"}, true},
		"TwoLabels":    {[]string{"*.example.com"}, false},
		"TwoWildcards": {[]string{"*.*.example.com"}, false},
		"Everything":   {[]string{"*", "*.com"}, false},
		"Longer":       {[]string{"x.a.b.example.com", "a.b.example.com.evil"}, false},
		"Another":      {[]string{"b.b.example.com"}, false},
		"None":         {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := w.pods[near].Dial(w.address("http-mutual"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			deadline(conn)
			pair := w.gate.signers["partner"].Pair(c.shown...)
			secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}) //nolint:gosec // the client is judged
			if status, _ := exchange(secured, ""); (status == security.Allowed) != c.taken {
				t.Errorf("got %d", status)
			}
		})
	}
}
