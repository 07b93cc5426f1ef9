// SPDX-License-Identifier: Apache-2.0

package csr

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	securityv1 "istio.io/api/security/v1alpha1"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// Client asks the control plane for certificates. Files are read again at
// each request, since the kubelet replaces them.
type Client struct {
	// Address is "host:port" of the CA, ServerName the name that its
	// certificate must have.
	Address, ServerName string
	// ServerID is the identity that its certificate must have, too: the name is
	// the same in every member.
	ServerID spiffeid.ID
	// RootFile holds what the CA's certificate is verified by.
	RootFile string
	// TokenFile holds the service account token, with audience istio-ca.
	TokenFile string
	// Identity is the SPIFFE ID to ask for. (The CA derives it from the token
	// and believes nothing else.)
	Identity string
	// Cluster that the token is of.
	Cluster string
	// TTL to ask for.
	TTL time.Duration
	// Keep is the directory where certificates are kept, and taken from to ask for
	// the next: nobody renews the token of a machine. Empty keeps none.
	Keep string
}

// Request makes a new key and gets it signed. Its errors say what stands in
// the way and what mends it.
func (c *Client) Request(ctx context.Context) (*Leaf, error) {
	roots, err := c.Roots()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("%s has no certificate in PEM: ConfigMap istio-ca-root-cert of the pod's namespace must have the mesh's root", c.RootFile)
	}
	key, request, err := newRequest(c.Identity)
	if err != nil {
		return nil, err
	}
	chain, err := c.signed(ctx, pool, request)
	if err != nil {
		return nil, err
	}
	leaf, err := newLeaf(chain, key, roots)
	if err != nil {
		return nil, fmt.Errorf("certificate from the CA at %s: %w", c.Address, err)
	}
	if c.Keep != "" {
		if err := c.keep(leaf); err != nil {
			logr.FromContextOrDiscard(ctx).Error(err, "The certificate isn't kept: after a restart the agent needs a token that has not expired")
		}
	}
	return leaf, nil
}

// signed is the CA's answer: by the kept certificate, or else by the token.
func (c *Client) signed(ctx context.Context, roots *x509.CertPool, request []byte) ([]string, error) {
	var unproven error
	if c.Keep != "" {
		own, err := c.kept(time.Now())
		if err == nil {
			var chain []string
			if chain, err = c.ask(ctx, roots, request, own, nil); err == nil {
				return chain, nil
			}
			err = c.explain(err, "certificate in "+c.Keep)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			unproven = err
		}
	}
	token, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the service account token (the pod must project one with audience istio-ca): %w", err), unproven)
	}
	chain, err := c.ask(ctx, roots, request, nil, bytes.TrimSpace(token))
	if err != nil {
		return nil, errors.Join(c.explain(err, "service account token"), unproven)
	}
	return chain, nil
}

// ask the CA once, proving who asks with a certificate or a token.
func (c *Client) ask(ctx context.Context, roots *x509.CertPool, request []byte, own *tls.Certificate, token []byte) ([]string, error) {
	config := trust.ControlPlaneClientConfig(c.ServerName, c.ServerID, roots)
	if own != nil {
		config.Certificates = []tls.Certificate{*own}
	}
	conn, err := grpc.NewClient("passthrough:///"+c.Address,
		grpc.WithNoProxy(),
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithMaxCallAttempts(1))
	if err != nil {
		return nil, fmt.Errorf("reach the CA at %s: %w", c.Address, err)
	}
	defer func() { _ = conn.Close() }()

	ctx = metadata.AppendToOutgoingContext(ctx, "clusterid", c.Cluster)
	if own == nil {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+string(token))
	}
	answer, err := securityv1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &securityv1.IstioCertificateRequest{
		Csr:              string(request),
		ValidityDuration: int64(c.TTL / time.Second),
	})
	return answer.GetCertChain(), err
}

// Roots reads what is mounted.
func (c *Client) Roots() ([]byte, error) {
	roots, err := os.ReadFile(c.RootFile)
	if err != nil {
		return nil, fmt.Errorf("read the mesh's root (ConfigMap istio-ca-root-cert of the pod's namespace): %w", err)
	}
	return roots, nil
}

// explain what stands in the way of one who proved himself with something.
func (c *Client) explain(err error, proof string) error {
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unauthenticated:
		return fmt.Errorf("the CA at %s does not accept the %s: %s", c.Address, proof, s.Message())
	case codes.PermissionDenied:
		return fmt.Errorf("the CA at %s does not sign for %s: %s", c.Address, c.Identity, s.Message())
	case codes.Unavailable, codes.DeadlineExceeded:
		return fmt.Errorf("the CA at %s cannot be reached: %s", c.Address, s.Message())
	default:
		return fmt.Errorf("the CA at %s answers %s: %s", c.Address, s.Code(), s.Message())
	}
}

// newRequest makes an ECDSA P-256 key and the signing request for it, in PEM.
func newRequest(identity string) (Key, []byte, error) {
	id, err := url.Parse(identity)
	if err != nil {
		return Key{}, nil, fmt.Errorf("identity %q: %w", identity, err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, nil, fmt.Errorf("make a key: %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{id}}, private)
	if err != nil {
		return Key{}, nil, fmt.Errorf("make a signing request for %q: %w", identity, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, nil, fmt.Errorf("encode the key: %w", err)
	}
	body := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return Key{pem: func() []byte { return body }}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}), nil
}
