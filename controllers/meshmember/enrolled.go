// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/federation/trust"
)

const (
	// tokenLife is how long an enrolment token is good.
	tokenLife = time.Hour
	// tokenMargin before its end a token is replaced.
	tokenMargin = 10 * time.Minute
	// settling is the time that a control plane has to write its CA down after
	// it enrolled.
	settling = 2 * time.Minute
	// caSecret is where a control plane keeps its CA.
	caSecret = "cacerts"
)

// Keys of the Secret isthmesh-enrolment.
const (
	keyMember      = "member"
	keyFederation  = "federation"
	keyAddress     = "address"
	keyServerName  = "server-name"
	keyRoots       = "roots.pem"
	keyTrustDomain = "trust-domain"
	keyToken       = "token"
)

// enrolled leaves in the cluster what the control plane needs to reach the hub,
// with a one-time token as long as it has no CA of this federation.
func (r *Reconciler) enrolled(ctx context.Context, s *scope) (bool, error) {
	s.facts.Trust = &Trust{}
	root, err := r.Roots.Root(ctx, s.federation)
	if err != nil {
		s.facts.Trust.Problem = &Problem{v1alpha1.ReasonRootNotReady, fmt.Sprintf("MeshFederation %q has no root that signs: %v", s.federation.Name, err)}
		return true, nil
	}
	if s.facts.HubAddress == "" {
		s.facts.Trust.Problem = &Problem{v1alpha1.ReasonHubAddressPending, fmt.Sprintf("nobody knows yet where members reach the hub: MeshFederation %q tells why", s.federation.Name)}
		return true, nil
	}
	have, ca, err := readTrust(ctx, s.cluster.Client)
	if err != nil {
		return r.lost(s, err)
	}
	want := enrolmentData(s, root)
	switch need := needsToken(s.member.Status.Trust, root, have, ca, r.Now()); {
	case need && ca && s.member.Status.Trust.IntermediateSerial == "":
		s.facts.Trust.Problem = &Problem{v1alpha1.ReasonForeignCA, fmt.Sprintf(
			"the cluster has a CA of its own in Secret %s/%s, and its control plane uses that: `kubectl delete secret %s -n %s` there lets it enrol, and gives all workloads new identities",
			v1alpha1.SystemNamespace, caSecret, caSecret, v1alpha1.SystemNamespace)}
		return true, nil
	case need:
		if ca && stale(s.member.Status.Trust, root, r.Now()) {
			if err := dropCA(ctx, s.cluster.Client); err != nil {
				return r.lost(s, err)
			}
		}
		s.facts.Trust.Waiting = true
		token, err := r.token(ctx, s, have[keyToken])
		if err != nil {
			return false, err
		}
		want[keyToken] = token
	}
	if err := writeEnrolment(ctx, s.cluster.Client, have, want); err != nil {
		return r.lost(s, err)
	}
	return true, nil
}

// readTrust reads the enrolment that the cluster has, nil for none, and whether
// its control plane has a CA.
func readTrust(ctx context.Context, c client.Client) (enrolment map[string][]byte, ca bool, err error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: v1alpha1.SystemNamespace, Name: v1alpha1.EnrolmentSecret}
	if err := c.Get(ctx, key, &secret); client.IgnoreNotFound(err) != nil {
		return nil, false, fmt.Errorf("read Secret %s: %w", key, err)
	}
	// Its content, the CA's key, never leaves the member: only whether it is there is asked.
	kept := &metav1.PartialObjectMetadata{}
	kept.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	key.Name = caSecret
	err = c.Get(ctx, key, kept)
	if client.IgnoreNotFound(err) != nil {
		return nil, false, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return secret.Data, !apierrors.IsNotFound(err), nil
}

// needsToken tells whether the control plane has to enrol: it never did, or its
// CA is out of date, of another root, or lost; or somebody deleted the
// enrolment, which is how one asks for a new one.
func needsToken(t v1alpha1.MemberTrustStatus, root *trust.Root, enrolment map[string][]byte, ca bool, now time.Time) bool {
	switch {
	case t.IntermediateSerial == "", t.IntermediateNotAfter == nil, !now.Before(t.IntermediateNotAfter.Time):
		return true
	case t.RootFingerprint != trust.Fingerprint(root.Certificate):
		return true
	case enrolment == nil:
		return true
	case t.EnrolmentTokenHash != "" && lasts(t.EnrolmentTokenNotAfter, now): // given after it last enrolled
		return true
	case !ca:
		return t.EnrolledAt == nil || now.Sub(t.EnrolledAt.Time) > settling
	default:
		return false
	}
}

// lasts tells whether a token is good for long enough to be used.
func lasts(until *metav1.Time, now time.Time) bool {
	return until != nil && now.Add(tokenMargin).Before(until.Time)
}

// stale tells whether the CA that the control plane enrolled for is of no use any more.
func stale(t v1alpha1.MemberTrustStatus, root *trust.Root, now time.Time) bool {
	return t.RootFingerprint != trust.Fingerprint(root.Certificate) || t.IntermediateNotAfter == nil || !now.Before(t.IntermediateNotAfter.Time)
}

// dropCA deletes a CA of no use, without reading it, so that the control plane enrols.
func dropCA(ctx context.Context, c client.Client) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.SystemNamespace, Name: caSecret}}
	if err := c.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Secret %s/%s: %w", v1alpha1.SystemNamespace, caSecret, err)
	}
	return nil
}

// token returns the token that the member has, while it is good, or a new one,
// whose hash is written to the status before anybody gets the token.
func (r *Reconciler) token(ctx context.Context, s *scope, given []byte) ([]byte, error) {
	t := s.member.Status.Trust
	if lasts(t.EnrolmentTokenNotAfter, r.Now()) && len(given) > 0 && trust.HashToken(string(given)) == t.EnrolmentTokenHash {
		return given, nil
	}
	token, err := trust.NewToken(r.Rand)
	if err != nil {
		return nil, err
	}
	was := s.member.DeepCopy()
	until := metav1.NewTime(r.Now().Add(tokenLife))
	s.member.Status.Trust.EnrolmentTokenHash = trust.HashToken(string(token.Reveal()))
	s.member.Status.Trust.EnrolmentTokenNotAfter = &until
	if err := r.Client.Status().Patch(ctx, s.member, client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})); err != nil {
		return nil, fmt.Errorf("write hash of enrolment token to MeshMember %s: %w", s.key(), err)
	}
	return token.Reveal(), nil
}

func enrolmentData(s *scope, root *trust.Root) map[string][]byte {
	return map[string][]byte{
		keyMember:      []byte(s.member.Name),
		keyFederation:  []byte(s.federation.Namespace + "/" + s.federation.Name),
		keyAddress:     []byte(s.facts.HubAddress),
		keyServerName:  []byte(trust.HubServerName(s.federation.Name, s.federation.Namespace)),
		keyRoots:       trust.EncodeBundle(root.Bundle()),
		keyTrustDomain: []byte(s.facts.TrustDomain),
	}
}

func writeEnrolment(ctx context.Context, c client.Client, have, want map[string][]byte) error {
	if maps.EqualFunc(have, want, bytes.Equal) {
		return nil
	}
	secret := corev1apply.Secret(v1alpha1.EnrolmentSecret, v1alpha1.SystemNamespace).
		WithLabels(map[string]string{"app.kubernetes.io/part-of": "isthmesh"}).
		WithType(corev1.SecretTypeOpaque).
		WithData(want)
	if err := c.Apply(ctx, secret, client.FieldOwner(install.FieldManager), client.ForceOwnership); err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", v1alpha1.SystemNamespace, v1alpha1.EnrolmentSecret, err)
	}
	return nil
}
