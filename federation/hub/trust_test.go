// SPDX-License-Identifier: Apache-2.0

package hub_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/member"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// secret is the Secret isthmesh-enrolment, as the hub writes it.
func (f *fleet) secret(name, token string) map[string][]byte {
	return map[string][]byte{
		"member": []byte(name), "federation": []byte(f.name), "address": []byte(f.address), "server-name": []byte(f.serverName),
		"roots.pem": trust.EncodeBundle(f.root.Bundle()), "trust-domain": []byte(name + ".shop.example"), "token": []byte(token),
	}
}

// TestEnrol: a token gives an intermediate, once, with which the member joins.
func TestEnrol(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	token := f.token("east", time.Hour)
	e, err := member.ParseEnrolment(f.secret("east", string(token.Reveal())))
	if err != nil {
		t.Fatal(err)
	}
	credential, err := member.Enroll(t.Context(), e, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"} {
		if len(credential.Data()[k]) == 0 {
			t.Errorf("no %s", k)
		}
	}
	c := &cluster{fleet: f, name: "east", trustDomain: "east.shop.example", intermediate: credential.Certificate, key: credential.Key}
	east := c.run(nil)
	east.SetExports(nil)
	eventually(t, "the enrolled member is synced", func() bool { return east.State().Synced })

	_, err = member.Enroll(t.Context(), e, rand.Reader)
	wantReason(t, err, member.TokenSpent)

	renewed, err := member.Renew(t.Context(), e.Hub, e.TrustDomain, c.istiod(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if renewed.Certificate.Equal(credential.Certificate) || renewed.Key.Equal(credential.Key) {
		t.Error("a renewal gave the same key or certificate")
	}
	if at := member.RenewAt(renewed.Certificate); at.Before(time.Now().Add(time.Hour)) || at.After(renewed.Certificate.NotAfter) {
		t.Errorf("renewal of a certificate that ends at %s is due at %s", renewed.Certificate.NotAfter, at)
	}
}

func wantReason(t *testing.T, err error, want member.HubReason) {
	t.Helper()
	var got *member.HubError
	if !errors.As(err, &got) || got.Reason != want {
		t.Errorf("got error %v, want one with reason %s", err, want)
	}
}

// TestEnrolRefused: what is wrong is told apart, and says what mends it.
func TestEnrolRefused(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{EnrolRate: 1000})
	other := newFleet(t, "other", hub.Options{})
	for name, c := range map[string]struct {
		change func(map[string][]byte)
		want   member.HubReason
		text   string
	}{
		"WrongToken":    {func(s map[string][]byte) { s["token"] = []byte("guess") }, member.TokenWrong, "token"},
		"ExpiredToken":  {func(s map[string][]byte) { s["token"] = f.token("east", -time.Minute).Reveal() }, member.TokenExpired, "expired"},
		"UnknownMember": {func(s map[string][]byte) { s["member"] = []byte("nobody") }, member.Refused, "no such member"},
		"Unreachable":   {func(s map[string][]byte) { s["address"] = []byte("127.0.0.1:1") }, member.HubUnreachable, "can't reach the hub"},
		"WrongRoot": {func(s map[string][]byte) {
			s["roots.pem"] = trust.EncodeBundle(other.root.Bundle())
		}, member.HubNotTrusted, "roots.pem"},
		"AnotherHub":       {func(s map[string][]byte) { s["address"] = []byte(other.address) }, member.HubUnreachable, "can't reach"},
		"OtherTrustDomain": {func(s map[string][]byte) { s["trust-domain"] = []byte("west.shop.example") }, member.Refused, "west.shop.example"},
		"HubsInternalFault": {func(s map[string][]byte) {
			s["member"], s["token"] = []byte("broken"), f.token("broken", time.Hour).Reveal()
		}, member.HubUnreachable, "try again"},
	} {
		t.Run(name, func(t *testing.T) {
			s := f.secret("east", string(f.token("east", time.Hour).Reveal()))
			c.change(s)
			e, err := member.ParseEnrolment(s)
			if err != nil {
				t.Fatal(err)
			}
			_, err = member.Enroll(t.Context(), e, rand.Reader)
			wantReason(t, err, c.want)
			if err != nil && (!strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("error %q, want it to say %q", err, c.text)
			}
		})
	}
}

// TestForeignCertificates: only a control plane's identity under the member's
// own intermediate opens a stream, whatever else is signed by it.
func TestForeignCertificates(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	east, west := f.enrol("east", nil), f.enrol("west", nil)
	stranger := newFleet(t, "stranger", hub.Options{}).enrol("east", nil)
	withdrawn := f.enrol("south", nil)
	f.apply(func(all []hub.Member) []hub.Member { all[2].Intermediates = []string{"1"}; return all })
	for name, leaf := range map[string]*tls.Certificate{
		"NoCertificate":         nil,
		"Workload":              east.leaf("spiffe://east.shop.example/ns/shop/sa/reviews"),
		"OtherTrustDomain":      east.leaf("spiffe://west.shop.example/ns/istio-system/sa/istiod"),
		"OtherNamespace":        east.leaf("spiffe://east.shop.example/ns/shop/sa/istiod"),
		"OtherRoot":             stranger.istiod(),
		"IntermediateItself":    {Certificate: [][]byte{west.intermediate.Raw}, PrivateKey: west.key},
		"WithdrawnIntermediate": withdrawn.istiod(),
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, f.address, f.serverName, leaf, f.root.Bundle())
			c := federationv1.NewFederationClient(conn)
			stream, err := c.Sync(t.Context())
			if err == nil {
				// A refused handshake may be seen here or there.
				_ = stream.Send(&federationv1.MemberMessage{Message: &federationv1.MemberMessage_Hello{Hello: &federationv1.Hello{}}})
				_, err = stream.Recv()
			}
			if code := status.Code(err); code != codes.Unauthenticated && code != codes.Unavailable {
				t.Errorf("the stream ended with %v, want it refused", err)
			}
			if _, err := c.Renew(t.Context(), &federationv1.RenewRequest{}); err == nil {
				t.Error("a new intermediate was signed")
			}
		})
	}
}

// TestTwoFederations share a hub, and nothing else.
func TestTwoFederations(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	other := newFleet(t, "bank", hub.Options{})
	other.stop()
	f.server.SetFederations([]hub.Federation{f.federation(), other.federation()})
	// From here on both are served by one hub.
	east, foreign := f.enrol("east", nil), &cluster{fleet: other, name: "east", trustDomain: "east.shop.example"}
	other.server, other.address = f.server, f.address
	foreign.intermediate, foreign.key = other.intermediate("east", foreign.trustDomain)
	f.apply(func(all []hub.Member) []hub.Member {
		return append(all, hub.Member{
			Federation: other.name, Name: "east", UID: "other", TrustDomain: foreign.trustDomain,
			Intermediates: []string{trust.Serial(foreign.intermediate)},
		})
	})
	west := f.enrol("west", nil).run(nil)
	a, b := east.run(nil), foreign.run(nil)
	a.SetExports(exports(1, 1))
	b.SetExports(exports(2, 2))
	eventually(t, "both are synced", func() bool {
		// What a client is told comes a moment after it is synced.
		return a.State().Synced && b.State().Synced && b.imports.Load() != nil && west.count() == 1
	})
	if len(b.imports.Load().Members) != 0 {
		t.Error("a member of one federation was told of the other")
	}
	// A member of the one under the other's name.
	conn := dial(t, f.address, f.serverName, foreign.istiod(), f.root.Bundle())
	stream, err := federationv1.NewFederationClient(conn).Sync(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if err == nil {
		t.Error("a member of one federation joined the other")
	}
	f.server.SetFederations([]hub.Federation{f.federation()})
	eventually(t, "the stream of the federation that is gone ends", func() bool { return b.State().Connected.IsZero() })
	if a.State().Connected.IsZero() {
		t.Error("the other federation's stream ended too")
	}
}

// TestServerName: nobody is served under a name that is no federation's.
func TestServerName(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{})
	for _, name := range []string{"", "bank.mesh.federation.isthmesh.dev", strings.Repeat("x", 200)} {
		conn, err := tls.Dial("tcp", f.address, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // a test
		if err == nil {
			_ = conn.Close()
			t.Errorf("%q was served", name)
		}
	}
}

// TestExpiry: a stream does not outlive the certificate that opened it.
func TestExpiry(t *testing.T) {
	// Leaves are good for an hour, less the fraction of a second that certificates
	// don't know. What is left of it here is the time to connect in.
	f := newFleet(t, "shop", hub.Options{Now: func() time.Time { return time.Now().Add(time.Hour - 6*time.Second) }})
	c := f.enrol("west", nil)
	stream, _ := c.raw(c.istiod())
	if err := stream.Send(&federationv1.MemberMessage{Message: &federationv1.MemberMessage_Hello{Hello: &federationv1.Hello{}}}); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "expired") {
		t.Errorf("the stream ended with %v, want that the certificate has expired", err)
	}
}

// TestEnrolFlood: callers without a certificate are bounded before anything is asked of the API server.
func TestEnrolFlood(t *testing.T) {
	f := newFleet(t, "shop", hub.Options{EnrolRate: 1})
	c := federationv1.NewFederationClient(dial(t, f.address, f.serverName, nil, f.root.Bundle()))
	refused, began := 0, time.Now()
	for range 50 {
		_, err := c.Enroll(context.Background(), &federationv1.EnrollRequest{Member: "x", Token: "y"})
		if status.Code(err) == codes.ResourceExhausted {
			refused++
		}
	}
	// Three at once, and one for each second that has passed.
	if most := 3 + int(time.Since(began).Seconds()); 50-refused > most {
		t.Errorf("%d of 50 enrolments were taken in, want no more than %d", 50-refused, most)
	}
	if _, err := c.Enroll(context.Background(), &federationv1.EnrollRequest{Csr: make([]byte, 5<<20)}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a request of 5 MiB ended with %v", err)
	}
}
