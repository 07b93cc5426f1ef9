// SPDX-License-Identifier: Apache-2.0

package meshfederation

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/trust"
)

func newRoots(t *testing.T) *Roots {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return &Roots{Client: fake.NewClientBuilder().WithScheme(scheme).Build(), Now: func() time.Time { return now }, Rand: rand.Reader}
}

func shop() *v1alpha1.MeshFederation {
	return &v1alpha1.MeshFederation{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop", UID: "u"}}
}

func fails(t *testing.T, err error, reason, says string) {
	t.Helper()
	var known *rootError
	if !errors.As(err, &known) || known.reason != reason || !strings.Contains(known.message, says) {
		t.Errorf("got %v, want %s with %q", err, reason, says)
	}
}

// TestEnsure is the life of a self-signed root: made once, never replaced by
// itself, and replaced when somebody says so.
func TestEnsure(t *testing.T) {
	ctx, r, f := t.Context(), newRoots(t), shop()
	first, made, err := r.Ensure(ctx, f)
	if err != nil || !made {
		t.Fatalf("first: made %v, %v", made, err)
	}
	again, made, err := r.Ensure(ctx, f)
	if err != nil || made || !again.Certificate.Equal(first.Certificate) {
		t.Errorf("again: made %v, %v", made, err)
	}
	secret := &corev1.Secret{}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: "shop-root-ca"}, secret); err != nil {
		t.Fatal(err)
	}
	if secret.Type != corev1.SecretTypeTLS || len(secret.OwnerReferences) != 1 || secret.OwnerReferences[0].Name != "shop" {
		t.Errorf("Secret of type %s with owners %v", secret.Type, secret.OwnerReferences)
	}

	f.Status.Trust.RootFingerprint = trust.Fingerprint(first.Certificate)
	if err := r.Client.Delete(ctx, secret); err != nil {
		t.Fatal(err)
	}
	_, made, err = r.Ensure(ctx, f)
	fails(t, err, v1alpha1.ReasonRootLost, "replace-root="+f.Status.Trust.RootFingerprint)
	if made {
		t.Error("a lost root was replaced")
	}
	f.Annotations = map[string]string{v1alpha1.ReplaceRootAnnotation: f.Status.Trust.RootFingerprint}
	second, made, err := r.Ensure(ctx, f)
	if err != nil || !made || second.Certificate.Equal(first.Certificate) {
		t.Fatalf("given up: made %v, %v", made, err)
	}

	// With the new one in the status the annotation says nothing any more.
	f.Status.Trust.RootFingerprint = trust.Fingerprint(second.Certificate)
	if _, err := r.Root(ctx, f); err != nil {
		t.Error(err)
	}
	f.Status.Trust.RootFingerprint = "another"
	_, err = r.Root(ctx, f)
	fails(t, err, v1alpha1.ReasonRootChanged, `Secret "shop-root-ca" holds another root than before`)
}

func TestRootOfASecret(t *testing.T) {
	ctx, r, f := t.Context(), newRoots(t), shop()
	f.Spec.Trust.Root.SecretRef = &v1alpha1.LocalObjectReference{Name: "corp-root"}
	_, made, err := r.Ensure(ctx, f)
	fails(t, err, v1alpha1.ReasonRootSecretNotFound, "kubectl create secret tls corp-root -n default")
	if made {
		t.Error("a root was made in the place of one that is given")
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "corp-root"}, Data: map[string][]byte{"tls.crt": []byte("x")}}
	if err := r.Client.Create(ctx, secret); err != nil {
		t.Fatal(err)
	}
	_, _, err = r.Ensure(ctx, f)
	fails(t, err, v1alpha1.ReasonRootInvalid, `Secret "corp-root" can't be the root: tls.crt:`)
}

// told keeps what a Roster tells the hub.
type told struct {
	federations []hub.Federation
	members     []hub.Member
}

func (t *told) SetFederations(f []hub.Federation) { t.federations = f }
func (t *told) SetMembers(m []hub.Member)         { t.members = m }

// TestRoster: a root that can't be read for a while doesn't end a federation,
// and the hub's certificate changes only with its root or its age.
func TestRoster(t *testing.T) {
	ctx, roots, f, to := t.Context(), newRoots(t), shop(), &told{}
	m := memberNamed("west", nil)
	for _, o := range []client.Object{f, &m} {
		if err := roots.Client.Create(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := roots.Ensure(ctx, f); err != nil {
		t.Fatal(err)
	}
	at := now
	r := NewRoster(roots.Client, roots, to, func() time.Time { return at }, rand.Reader)
	tell(ctx, t, r)
	select {
	case <-r.Ready():
	default:
		t.Error("not ready after the hub was told")
	}
	if len(to.federations) != 1 || len(to.members) != 1 || to.federations[0].ServerName != "shop.default.federation.isthmesh.dev" {
		t.Fatalf("told %+v", to)
	}
	first := to.federations[0].Certificate
	tell(ctx, t, r)
	if to.federations[0].Certificate != first {
		t.Error("the certificate changed though nothing did")
	}
	if err := roots.Client.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-root-ca"}}); err != nil {
		t.Fatal(err)
	}
	tell(ctx, t, r)
	if len(to.federations) != 1 || to.federations[0].Certificate != first {
		t.Error("a root that is gone for a while ends the federation")
	}
	if _, _, err := roots.Ensure(ctx, f); err != nil {
		t.Fatal(err)
	}
	tell(ctx, t, r)
	second := to.federations[0].Certificate
	if second == first {
		t.Error("another root, and the certificate is the same")
	}
	at = now.Add(trust.DefaultHubValidity * 2 / 3)
	tell(ctx, t, r)
	if to.federations[0].Certificate == second {
		t.Error("the certificate isn't renewed")
	}
}

func tell(ctx context.Context, t *testing.T, r *Roster) {
	t.Helper()
	if _, err := r.Reconcile(ctx, all[0]); err != nil {
		t.Fatal(err)
	}
}
