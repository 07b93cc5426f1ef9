// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/peer"
)

// maxCSR is several times the size of the largest request that a key of an
// accepted size makes.
const maxCSR = 16 << 10

// impersonatedIdentity is the key of the request's metadata with which a node
// proxy asks for another's certificate.
const impersonatedIdentity = "ImpersonatedIdentity"

// Server answers Istio's CSR API.
type Server struct {
	securityv1alpha1.UnimplementedIstioCertificateServiceServer

	authority     *Authority
	authenticator authn.Authenticator
	metrics       *Metrics
	signing       chan struct{}
	holders       Holders
}

// Holders tells what stands in a certificate of who holds it, for the metrics of its
// peers. What it doesn't know is empty.
type Holders interface {
	Of(ctx context.Context, caller *authn.Caller) (peer.Peer, error)
}

// NewServer returns a Server. At most concurrency requests are signed at one
// time, four per CPU when zero; others wait for as long as their caller does. Without
// holders, certificates have nothing but an identity.
func NewServer(authority *Authority, authenticator authn.Authenticator, metrics *Metrics, holders Holders, concurrency int) *Server {
	if concurrency <= 0 {
		concurrency = 4 * runtime.GOMAXPROCS(0)
	}
	return &Server{authority: authority, authenticator: authenticator, metrics: metrics, holders: holders, signing: make(chan struct{}, concurrency)}
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	securityv1alpha1.RegisterIstioCertificateServiceServer(r, s)
}

// CreateCertificate signs a certificate for whom the caller is proven to be.
// Of the CSR only the key counts, of the metadata nothing: an identity to
// impersonate is refused.
func (s *Server) CreateCertificate(ctx context.Context, req *securityv1alpha1.IstioCertificateRequest) (*securityv1alpha1.IstioCertificateResponse, error) {
	log := logr.FromContextOrDiscard(ctx)
	s.metrics.requests.Inc()
	caller, err := s.authenticator.Authenticate(ctx)
	if err != nil {
		s.metrics.unauthenticated.Inc()
		log.V(1).Info("certificate request refused", "cause", err.Error())
		return nil, err
	}
	log = log.WithValues("identity", caller.Identity.String(), "pod", caller.PodName)
	if asked, ok := req.GetMetadata().GetFields()[impersonatedIdentity]; ok {
		s.metrics.impersonations.Inc()
		log.Info("certificate request refused: it asks for another identity", "asked", clip(asked.GetStringValue()))
		return nil, status.Errorf(codes.PermissionDenied, "%q may not ask for the certificate of another identity", caller.Identity)
	}
	signed, err := s.sign(ctx, caller, req)
	if err != nil {
		log.Info("certificate request failed", "cause", err.Error())
		return nil, err
	}
	s.metrics.issued.Inc()
	log.V(1).Info("certificate issued", "notAfter", signed.NotAfter, "trimmed", signed.Trimmed)
	return &securityv1alpha1.IstioCertificateResponse{CertChain: signed.PEM()}, nil
}

func (s *Server) sign(ctx context.Context, caller *authn.Caller, req *securityv1alpha1.IstioCertificateRequest) (*Certificate, error) {
	der, err := decodeCSR(req.GetCsr())
	if err != nil {
		s.metrics.unparsable.Inc()
		return nil, status.Errorf(codes.InvalidArgument, "certificate request: %v", err)
	}
	ttl, err := duration(req.GetValidityDuration())
	if err != nil {
		s.metrics.failed.WithLabelValues("TTL_ERROR").Inc()
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	names := s.attested(ctx, caller)
	select {
	case s.signing <- struct{}{}:
		defer func() { <-s.signing }()
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	signed, err := s.authority.Sign(Request{CSR: der, ID: caller.Identity, DNSNames: names, TTL: ttl})
	switch {
	case errors.Is(err, ErrRequest):
		s.metrics.failed.WithLabelValues("CSR_ERROR").Inc()
		return nil, status.Error(codes.InvalidArgument, err.Error())
	case err != nil:
		s.metrics.failed.WithLabelValues("CA_NOT_READY").Inc()
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return signed, nil
}

// attested is the DNS name that tells peers who holds the certificate. No certificate
// fails for want of it.
func (s *Server) attested(ctx context.Context, caller *authn.Caller) []string {
	if s.holders == nil {
		return nil
	}
	of, err := s.holders.Of(ctx, caller)
	if err != nil {
		logr.FromContextOrDiscard(ctx).Info("a certificate says less of its workload", "identity", caller.Identity.String(), "cause", err.Error())
	}
	return []string{of.String()}
}

// decodeCSR takes the one PEM block that a request must consist of.
func decodeCSR(text string) ([]byte, error) {
	if len(text) > maxCSR {
		return nil, fmt.Errorf("it is longer than %d bytes", maxCSR)
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, errors.New("it is not PEM")
	case block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST":
		return nil, fmt.Errorf("its PEM block is of type %q, not CERTIFICATE REQUEST", clip(block.Type))
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("something follows its PEM block")
	}
	return block.Bytes, nil
}

// duration turns a validity in seconds into one that doesn't overflow.
func duration(seconds int64) (time.Duration, error) {
	switch {
	case seconds < 0:
		return 0, fmt.Errorf("validity of %d seconds is negative", seconds)
	case seconds > math.MaxInt64/int64(time.Second):
		return math.MaxInt64, nil
	}
	return time.Duration(seconds) * time.Second, nil
}

// clip bounds what a caller can write into logs and errors.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
