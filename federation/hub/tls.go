// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// TLSConfig is the configuration of the hub's listener. It picks the federation
// by the name that the caller asks for: its server certificate, and its roots
// to verify the client's certificate against. GRPC uses it already.
func (s *Server) TLSConfig() *tls.Config {
	return trust.HubServerConfig(s.certificate, func(state tls.ConnectionState) error {
		f, identity := s.serving(state.ServerName)
		if f == nil {
			return unknownServerName(state.ServerName)
		}
		_, err := s.verify(f, identity, state)
		return err
	})
}

func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	_, identity := s.serving(hello.ServerName)
	if identity == nil || identity.Certificate == nil {
		return nil, unknownServerName(hello.ServerName)
	}
	return identity.Certificate, nil
}

func unknownServerName(name string) error {
	return fmt.Errorf("no federation is served as %.100q", name)
}

func (s *Server) serving(serverName string) (*federation, *Federation) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f := s.byName[strings.ToLower(serverName)]
	if f == nil {
		return nil, nil
	}
	return f, f.identity
}

func (s *Server) verify(f *federation, identity *Federation, state tls.ConnectionState) (trust.Member, error) {
	f.mu.Lock()
	issued := f.issued
	f.mu.Unlock()
	return trust.VerifyMember(identity.Roots, state.PeerCertificates, func(serial string) (trust.Issued, bool) {
		i, ok := issued[serial]
		return i, ok
	}, s.options.Now())
}

// issued lists which intermediate speaks for whom. A serial that two members
// claim speaks for neither, as does one of a member with a broken trust domain.
func issued(members []Member, log logr.Logger) map[string]trust.Issued {
	out := map[string]trust.Issued{}
	for _, m := range members {
		td, err := spiffeid.TrustDomainFromString(m.TrustDomain)
		if err != nil {
			log.Error(err, "A member's trust domain can't be used", "member", m.Ref())
			continue
		}
		for _, serial := range m.Intermediates {
			if other, taken := out[serial]; taken {
				log.Info("Two members claim one intermediate: it speaks for neither", "serial", serial, "member", m.Ref(), "other", other.Member)
				out[serial] = trust.Issued{}
				continue
			}
			out[serial] = trust.Issued{Member: m.Name, TrustDomain: td}
		}
	}
	for serial, i := range out {
		if i.Member == "" {
			delete(out, serial)
		}
	}
	return out
}

// connection tells which federation a call is for, by its TLS server name.
func (s *Server) connection(ctx context.Context) (*federation, *Federation, tls.ConnectionState, error) {
	s.mu.RLock()
	ready, closed := s.ready, s.closed
	s.mu.RUnlock()
	if !ready || closed {
		return nil, nil, tls.ConnectionState{}, status.Error(codes.Unavailable, "the hub is starting or stopping: try again")
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, nil, tls.ConnectionState{}, status.Error(codes.Unauthenticated, "no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, nil, tls.ConnectionState{}, status.Error(codes.Unauthenticated, "the connection is not TLS")
	}
	f, identity := s.serving(info.State.ServerName)
	if identity == nil {
		return nil, nil, tls.ConnectionState{}, status.Error(codes.Unavailable, unknownServerName(info.State.ServerName).Error())
	}
	return f, identity, info.State, nil
}

// caller tells which member calls, by its certificate alone. It is verified
// again at each call: the connection may be older than what the controllers know.
func (s *Server) caller(ctx context.Context) (*federation, trust.Member, error) {
	f, identity, state, err := s.connection(ctx)
	if err != nil {
		return nil, trust.Member{}, err
	}
	m, err := s.verify(f, identity, state)
	if err != nil {
		return nil, trust.Member{}, status.Error(codes.Unauthenticated, err.Error())
	}
	return f, m, nil
}
