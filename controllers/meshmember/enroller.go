// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// attempts to write a certificate's serial down while others write the status too.
const attempts = 8

// Enroller signs members' intermediate CAs. Its memory is MeshMember.status: a
// serial is there, and the token that paid for it is not any more, before the
// certificate leaves the hub. Of two that come with one token only one can
// write that, because the API server takes a write only of who read the latest.
type Enroller struct {
	// Client writes; Reader reads live, past any cache.
	Client client.Client
	Reader client.Reader
	Roots  Roots
	// Recorder of events about members.
	Recorder status.Recorder
	Now      func() time.Time
	Rand     io.Reader
}

var _ hub.Enroller = (*Enroller)(nil)

// Enroll trades a one-time token for an intermediate. An error is a
// *hub.EnrolError where the caller is at fault.
func (e *Enroller) Enroll(ctx context.Context, req hub.EnrollRequest) (hub.Issued, error) {
	return e.issue(ctx, req.Ref, req.CSR, func(t *v1alpha1.MemberTrustStatus, now time.Time) *hub.EnrolError {
		record := trust.TokenRecord{Hash: t.EnrolmentTokenHash}
		if t.EnrolmentTokenNotAfter != nil {
			record.NotAfter = t.EnrolmentTokenNotAfter.Time
		}
		if record.Hash == "" && t.EnrolledAt != nil {
			record.SpentAt = t.EnrolledAt.Time
		}
		if err := trust.CheckToken(string(req.Token.Reveal()), record, now); err != nil {
			return &hub.EnrolError{Reason: tokenReason(err), Message: err.Error()}
		}
		at := metav1.NewTime(now)
		t.EnrolmentTokenHash, t.EnrolmentTokenNotAfter, t.EnrolledAt = "", nil, &at
		t.PreviousSerial = "" // what the member had before may be stolen
		return nil
	})
}

// Renew signs a new intermediate for a member that holds a current one. That
// one stays good until the next renewal, for replicas that don't have the new yet.
func (e *Enroller) Renew(ctx context.Context, req hub.RenewRequest) (hub.Issued, error) {
	return e.issue(ctx, req.Ref, req.CSR, func(t *v1alpha1.MemberTrustStatus, _ time.Time) *hub.EnrolError {
		if req.Serial == "" || req.Serial != t.IntermediateSerial && req.Serial != t.PreviousSerial {
			return &hub.EnrolError{Reason: hub.CertificateRefused, Message: "the intermediate CA that was shown is not a current one of the member: delete the member's Secret isthmesh-enrolment to let it enrol again"}
		}
		t.PreviousSerial = t.IntermediateSerial
		return nil
	})
}

// issue signs, writes down, and only then answers. The check changes the
// status to what it is when the certificate is out.
func (e *Enroller) issue(ctx context.Context, ref hub.Ref, csr []byte, check func(*v1alpha1.MemberTrustStatus, time.Time) *hub.EnrolError) (hub.Issued, error) {
	for range attempts {
		member, federation, err := e.find(ctx, ref)
		if err != nil {
			return hub.Issued{}, err
		}
		was := member.DeepCopy()
		if refusal := check(&member.Status.Trust, e.Now()); refusal != nil {
			e.refused(member, refusal)
			return hub.Issued{}, refusal
		}
		root, err := e.Roots.Root(ctx, federation)
		if err != nil {
			return hub.Issued{}, fmt.Errorf("root of federation %q: %w", ref.Federation, err)
		}
		cert, err := e.sign(root, member, federation, csr)
		if err != nil {
			var refusal *hub.EnrolError
			if errors.As(err, &refusal) {
				e.refused(member, refusal)
			}
			return hub.Issued{}, err
		}
		until := metav1.NewTime(cert.NotAfter)
		member.Status.Trust.IntermediateSerial = trust.Serial(cert)
		member.Status.Trust.IntermediateNotAfter = &until
		member.Status.Trust.RootFingerprint = trust.Fingerprint(root.Certificate)
		err = e.Client.Status().Patch(ctx, member, client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{}))
		if apierrors.IsConflict(err) {
			continue // read again: the token may be spent by now
		}
		if err != nil {
			return hub.Issued{}, fmt.Errorf("write serial to MeshMember %s/%s: %w", member.Namespace, member.Name, err)
		}
		e.issued(was, member)
		return hub.Issued{Certificate: cert.Raw, Roots: root.Bundle().DER()}, nil
	}
	return hub.Issued{}, fmt.Errorf("the status of member %s is written by others all the time", ref)
}

// find reads a member that may be given certificates, and its federation.
func (e *Enroller) find(ctx context.Context, ref hub.Ref) (*v1alpha1.MeshMember, *v1alpha1.MeshFederation, error) {
	unknown := &hub.EnrolError{Reason: hub.MemberUnknown, Message: fmt.Sprintf("%s is not a member", ref)}
	namespace, name, ok := strings.Cut(ref.Federation, "/")
	if !ok {
		return nil, nil, unknown
	}
	var federation v1alpha1.MeshFederation
	err := e.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &federation)
	if apierrors.IsNotFound(err) {
		return nil, nil, unknown
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read MeshFederation %s: %w", ref.Federation, err)
	}
	var member v1alpha1.MeshMember
	err = e.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Member}, &member)
	if apierrors.IsNotFound(err) {
		return nil, nil, unknown
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read MeshMember %s/%s: %w", namespace, ref.Member, err)
	}
	if member.Status.Federation != name || member.DeletionTimestamp != nil || federation.DeletionTimestamp != nil {
		return nil, nil, unknown
	}
	return &member, &federation, nil
}

func (e *Enroller) sign(root *trust.Root, member *v1alpha1.MeshMember, federation *v1alpha1.MeshFederation, csr []byte) (*x509.Certificate, error) {
	if _, err := trust.ParseCSR(csr); err != nil {
		return nil, &hub.EnrolError{Reason: hub.CSRInvalid, Message: err.Error()}
	}
	domain, err := TrustDomain(member.Name, federation.Spec.Trust)
	if err != nil {
		return nil, err
	}
	td, err := spiffeid.TrustDomainFromString(domain)
	if err != nil {
		return nil, err
	}
	return root.SignIntermediate(trust.IntermediateRequest{CSR: csr, Member: member.Name, TrustDomain: td, Now: e.Now(), Rand: e.Rand})
}

func (e *Enroller) refused(member *v1alpha1.MeshMember, refusal *hub.EnrolError) {
	status.Record(e.Recorder, member, []status.Event{{
		Type: corev1.EventTypeWarning, Reason: v1alpha1.EventEnrolmentRefused, Action: "Enrol",
		Note: string(refusal.Reason) + ": " + refusal.Message,
	}})
}

func (e *Enroller) issued(was, member *v1alpha1.MeshMember) {
	event := status.Event{Type: corev1.EventTypeNormal, Reason: v1alpha1.EventRenewed, Action: "Renew"}
	if was.Status.Trust.EnrolmentTokenHash != "" && member.Status.Trust.EnrolmentTokenHash == "" {
		event.Reason, event.Action = v1alpha1.EventEnrolled, "Enrol"
	}
	event.Note = fmt.Sprintf("the member has the intermediate CA with serial %s, good until %s",
		member.Status.Trust.IntermediateSerial, member.Status.Trust.IntermediateNotAfter.UTC().Format(time.RFC3339))
	status.Record(e.Recorder, member, []status.Event{event})
}

func tokenReason(err error) hub.EnrolReason {
	switch {
	case errors.Is(err, trust.ErrTokenSpent):
		return hub.TokenSpent
	case errors.Is(err, trust.ErrTokenExpired):
		return hub.TokenExpired
	default:
		return hub.TokenWrong
	}
}
