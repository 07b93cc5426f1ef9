// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Bounds of what a caller without a certificate may say.
const (
	maxToken = 256
	maxCSR   = 16 << 10
	maxName  = 63
)

// Enroll implements federationv1.FederationServer.
func (s *Server) Enroll(ctx context.Context, r *federationv1.EnrollRequest) (*federationv1.CertificateResponse, error) {
	f, _, _, err := s.connection(ctx)
	if err != nil {
		return nil, err
	}
	if len(r.GetMember()) > maxName || len(r.GetToken()) > maxToken || len(r.GetCsr()) > maxCSR {
		return nil, status.Error(codes.InvalidArgument, "member, token or CSR is too long")
	}
	ref := Ref{f.name, r.GetMember()}
	issued, err := s.options.Enroller.Enroll(ctx, EnrollRequest{
		Ref: ref, Token: trust.NewSecret([]byte(r.GetToken())), CSR: r.GetCsr(),
	})
	return s.answer(ref, "enrol", issued, err)
}

// Renew implements federationv1.FederationServer.
func (s *Server) Renew(ctx context.Context, r *federationv1.RenewRequest) (*federationv1.CertificateResponse, error) {
	f, who, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	if len(r.GetCsr()) > maxCSR {
		return nil, status.Error(codes.InvalidArgument, "CSR is too long")
	}
	ref := Ref{f.name, who.Name}
	issued, err := s.options.Enroller.Renew(ctx, RenewRequest{Ref: ref, Serial: who.Serial, CSR: r.GetCsr()})
	return s.answer(ref, "renew", issued, err)
}

func (s *Server) answer(ref Ref, what string, issued Issued, err error) (*federationv1.CertificateResponse, error) {
	ref.Member = clip(ref.Member, maxName)
	if reason, ok := enrolReason(err); ok {
		s.options.Log.Info("Refused a member's certificate", "member", ref, "what", what, "reason", reason, "error", err.Error())
		st, withErr := status.New(codes.PermissionDenied, err.Error()).WithDetails(&errdetails.ErrorInfo{
			Reason: string(reason), Domain: trust.HubDomain,
		})
		if withErr != nil {
			return nil, status.Error(codes.PermissionDenied, err.Error())
		}
		return nil, st.Err()
	}
	if err != nil {
		// What went wrong inside the hub is for its own log.
		s.options.Log.Error(err, "Can't sign a member's certificate", "member", ref, "what", what)
		return nil, status.Error(codes.Unavailable, "the hub can't sign at the moment: try again")
	}
	s.options.Log.Info("Signed a member's intermediate", "member", ref, "what", what)
	return &federationv1.CertificateResponse{Certificate: issued.Certificate, Roots: issued.Roots}, nil
}

// enrolReason is true for a fault of the caller.
func enrolReason(err error) (EnrolReason, bool) {
	var refused *EnrolError
	switch {
	case errors.As(err, &refused):
		return refused.Reason, true
	case errors.Is(err, trust.ErrTokenWrong):
		return TokenWrong, true
	case errors.Is(err, trust.ErrTokenExpired):
		return TokenExpired, true
	case errors.Is(err, trust.ErrTokenSpent):
		return TokenSpent, true
	}
	return "", false
}
