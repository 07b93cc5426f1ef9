// SPDX-License-Identifier: Apache-2.0

package hub_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/trust"
)

func dial(t testing.TB, address, serverName string, leaf *tls.Certificate, roots trust.Bundle) *grpc.ClientConn {
	t.Helper()
	var show func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	if leaf != nil {
		show = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return leaf, nil }
	}
	config := trust.HubClientConfig(serverName, func() trust.Bundle { return roots }, show, time.Now)
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (c *traffic) intercept(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, &tapped{s, c})
}

// tapped counts the messages of one stream.
type tapped struct {
	grpc.ServerStream
	traffic *traffic
}

func (t *tapped) SendMsg(m any) error {
	h := m.(*federationv1.HubMessage)
	t.traffic.out.Add(1)
	t.traffic.bytes.Add(int64(proto.Size(h)))
	for _, s := range h.GetImports().GetServices() {
		t.traffic.servicesOut.Add(int64(len(s.GetUpdated()) + len(s.GetRemoved())))
	}
	return t.ServerStream.SendMsg(m)
}

func (t *tapped) RecvMsg(m any) error {
	err := t.ServerStream.RecvMsg(m)
	if err == nil {
		h := m.(*federationv1.MemberMessage)
		t.traffic.in.Add(1)
		t.traffic.bytes.Add(int64(proto.Size(h)))
		t.traffic.servicesIn.Add(int64(len(h.GetExports().GetUpdated()) + len(h.GetExports().GetRemoved())))
	}
	return err
}

// token gives a member a one-time token, as its controller would.
func (f *fleet) token(name string, validity time.Duration) trust.Secret {
	f.t.Helper()
	token, err := trust.NewToken(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens[name] = &trust.TokenRecord{Hash: trust.HashToken(string(token.Reveal())), NotAfter: time.Now().Add(validity)}
	return token
}

// Enroll implements hub.Enroller.
func (f *fleet) Enroll(_ context.Context, r hub.EnrollRequest) (hub.Issued, error) {
	f.mu.Lock()
	record := f.tokens[r.Ref.Member]
	f.mu.Unlock()
	if record == nil {
		return hub.Issued{}, &hub.EnrolError{Reason: hub.MemberUnknown, Message: "there is no such member"}
	}
	if err := trust.CheckToken(string(r.Token.Reveal()), *record, time.Now()); err != nil {
		return hub.Issued{}, err
	}
	f.mu.Lock()
	record.SpentAt = time.Now()
	f.mu.Unlock()
	return f.sign(r.Ref.Member, r.CSR)
}

// Renew implements hub.Enroller.
func (f *fleet) Renew(_ context.Context, r hub.RenewRequest) (hub.Issued, error) {
	return f.sign(r.Ref.Member, r.CSR)
}

func (f *fleet) sign(name string, csr []byte) (hub.Issued, error) {
	if name == "broken" {
		return hub.Issued{}, errors.New("database password is hunter2")
	}
	td, err := trust.TrustDomain(name + ".shop.example")
	if err != nil {
		return hub.Issued{}, err
	}
	cert, err := f.root.SignIntermediate(trust.IntermediateRequest{CSR: csr, Member: name, TrustDomain: td, Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		return hub.Issued{}, &hub.EnrolError{Reason: hub.CSRInvalid, Message: err.Error()}
	}
	f.apply(func(all []hub.Member) []hub.Member {
		for i := range all {
			if all[i].Name == name {
				all[i].Intermediates = append(append([]string(nil), all[i].Intermediates...), trust.Serial(cert))
				return all
			}
		}
		return append(all, hub.Member{
			Federation: f.name, Name: name, UID: name, TrustDomain: td.Name(), Intermediates: []string{trust.Serial(cert)},
		})
	})
	return hub.Issued{Certificate: cert.Raw, Roots: f.root.Bundle().DER()}, nil
}
