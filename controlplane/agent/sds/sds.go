// SPDX-License-Identifier: Apache-2.0

// Package sds gives the workload's certificate and roots to Envoy, over a
// socket that only the proxy's user can open. It comes after csr: whatever is
// set is pushed to the streams that are open, and Envoy takes a new certificate
// for new connections without touching those that live.
package sds

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
)

// Server holds the secrets. It is safe for concurrent use.
type Server struct{ secrets *cachev3.LinearCache }

// New makes a server that has no secrets yet. The prefix must differ from run
// to run, so that no version is taken for one of an earlier run.
func New(prefix string) *Server {
	return &Server{secrets: cachev3.NewLinearCache(resourcev3.SecretType, cachev3.WithVersionPrefix(prefix))}
}

// Set replaces both secrets and pushes them.
func (s *Server) Set(leaf *csr.Leaf) error {
	err := s.secrets.UpdateResources(map[string]types.Resource{
		bootstrap.WorkloadSecret: workload(leaf),
		bootstrap.RootSecret:     roots(leaf),
	}, nil)
	if err != nil {
		return fmt.Errorf("publish the workload certificate: %w", err)
	}
	return nil
}

// Serve answers on a Unix socket at path until the context ends. A socket
// that an earlier run left is replaced.
func (s *Server) Serve(ctx context.Context, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old secret socket: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("listen for secret requests: %w", err)
	}
	// The folder belongs to the pod, the socket to the proxy's user alone.
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("protect the secret socket: %w", err)
	}
	server := grpc.NewServer(grpc.MaxConcurrentStreams(10000))
	secretv3.RegisterSecretDiscoveryServiceServer(server, serverv3.NewServer(ctx, s.secrets, nil))
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve secrets: %w", err)
	}
	return nil
}

func workload(leaf *csr.Leaf) *tlsv3.Secret {
	return &tlsv3.Secret{
		Name: bootstrap.WorkloadSecret,
		Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: inline(leaf.Chain),
			PrivateKey:       inline(leaf.Key.PEM()),
		}},
	}
}

func roots(leaf *csr.Leaf) *tlsv3.Secret {
	return &tlsv3.Secret{
		Name: bootstrap.RootSecret,
		Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: inline(leaf.Roots),
		}},
	}
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
