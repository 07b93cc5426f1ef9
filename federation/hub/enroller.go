// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// Enroller signs intermediates. The member controller implements it: token and
// serial are recorded in the API server before it answers, so that a token is
// never good twice and the new serial is known when the member comes back with it.
type Enroller interface {
	// Enroll trades the one-time token for an intermediate. When the caller is at
	// fault its error wraps an *EnrolError, or one of trust.ErrTokenWrong,
	// ErrTokenExpired and ErrTokenSpent; any other error is the hub's own and
	// only says "try again" to the member.
	Enroll(ctx context.Context, r EnrollRequest) (Issued, error)
	// Renew signs a new intermediate for a member that proved to hold a current one.
	Renew(ctx context.Context, r RenewRequest) (Issued, error)
}

// EnrollRequest is what a member shows that has no certificate yet. Ref.Member
// is what the caller says; only the token proves it.
type EnrollRequest struct {
	Ref   Ref
	Token trust.Secret
	// CSR is PKCS #10 in DER; only its public key is used.
	CSR []byte
}

// RenewRequest comes from a member whose certificate was verified.
type RenewRequest struct {
	Ref Ref
	// Serial, in hex, of the intermediate that the caller holds.
	Serial string
	CSR    []byte
}

// Issued is a new intermediate and the roots that the federation trusts, in DER.
type Issued struct {
	Certificate []byte
	Roots       [][]byte
}

// EnrolReason says why an enrolment is refused, in one word for machines.
type EnrolReason string

// The reasons.
const (
	TokenWrong    EnrolReason = "TokenWrong"
	TokenExpired  EnrolReason = "TokenExpired"
	TokenSpent    EnrolReason = "TokenSpent"
	MemberUnknown EnrolReason = "MemberUnknown"
	CSRInvalid    EnrolReason = "CSRInvalid"
	// CertificateRefused: the certificate shown does not speak for a member.
	CertificateRefused EnrolReason = "CertificateRefused"
)

// EnrolError refuses an enrolment or a renewal for a fault of the caller; it
// reaches the member with its reason.
type EnrolError struct {
	Reason EnrolReason
	// Message says what is wrong and what mends it; no secrets.
	Message string
}

func (e *EnrolError) Error() string { return e.Message }
