// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/controlplane/peer"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Audience that tokens must be issued for, as in Istio.
const Audience = "istio-ca"

// Caller is who was proven to call.
type Caller struct {
	// Identity in the member's own trust domain.
	Identity spiffeid.ID
	// Namespace and ServiceAccount that the identity is made of.
	Namespace, ServiceAccount string
	// PodName and PodUID when the token is bound to a pod; a certificate doesn't tell.
	PodName, PodUID string
	// Holder is what the CA wrote of its workload into the certificate; zero with a token.
	Holder peer.Peer
	// NotAfter is when the proof expires.
	NotAfter time.Time
}

// Authenticator tells who calls in the context of a gRPC call. Errors are
// gRPC statuses: Unauthenticated with the cause when credentials are missing
// or bad; Unavailable and ResourceExhausted when they could not be checked.
type Authenticator interface {
	Authenticate(ctx context.Context) (*Caller, error)
}

// Options of an Authenticator.
type Options struct {
	// TrustDomain of the member: certificates of others are refused, and tokens
	// become identities of it.
	TrustDomain spiffeid.TrustDomain
	// Roots that are trusted now.
	Roots func() trust.Bundle
	// Reviews asks the member's API server about tokens.
	Reviews Reviewer
	Now     func() time.Time
	// Limits of token reviews; zero fields take the standard ones.
	Limits Limits
}

// New returns the Authenticator of a control plane: client certificate first,
// else bearer token.
func New(o Options) (Authenticator, error) {
	switch {
	case o.TrustDomain.IsZero():
		return nil, errors.New("authentication needs a trust domain")
	case o.Roots == nil || o.Reviews == nil || o.Now == nil:
		return nil, errors.New("authentication needs roots, token reviews and a clock")
	}
	return &authenticator{
		certificates: certificates{trustDomain: o.TrustDomain, roots: o.Roots, now: o.Now},
		tokens:       newTokens(o),
	}, nil
}

type authenticator struct {
	certificates certificates
	tokens       *tokens
}

// Authenticate implements Authenticator.
func (a *authenticator) Authenticate(ctx context.Context) (*Caller, error) {
	caller, certErr := a.certificates.authenticate(ctx)
	if certErr == nil {
		return caller, nil
	}
	caller, tokenErr := a.tokens.authenticate(ctx)
	switch {
	case tokenErr == nil:
		return caller, nil
	case errors.Is(certErr, errNoCertificate) && errors.Is(tokenErr, errNoToken):
		return nil, status.Error(codes.Unauthenticated, "no credentials: show a client certificate of this mesh, or a service account token of audience "+Audience+" in the authorization header")
	case errors.Is(certErr, errNoCertificate):
		return nil, refusal(tokenErr)
	case errors.Is(tokenErr, errNoToken):
		return nil, refusal(certErr)
	}
	return nil, refusal(errors.Join(certErr, tokenErr))
}

// refusal is the gRPC status of an error: the one that it holds already, else Unauthenticated.
func refusal(err error) error {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return status.Error(s.GRPCStatus().Code(), s.GRPCStatus().Message())
	}
	return status.Error(codes.Unauthenticated, err.Error())
}
