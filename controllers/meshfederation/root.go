// SPDX-License-Identifier: Apache-2.0

package meshfederation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Roots reads and makes the roots of federations. A root is a Secret of type
// kubernetes.io/tls beside its MeshFederation. Another source, such as an
// issuer that signs an intermediate root, would be a further case of Root.
type Roots struct {
	// Client reads Secrets live.
	Client client.Client
	Now    func() time.Time
	Rand   io.Reader
}

// rootError says why there is no root: a reason for the condition.
type rootError struct{ reason, message string }

func (e *rootError) Error() string { return e.message }

// SecretName of a federation's root.
func SecretName(f *v1alpha1.MeshFederation) string {
	if ref := f.Spec.Trust.Root.SecretRef; ref != nil {
		return ref.Name
	}
	return f.Name + "-root-ca"
}

// Root reads the root of a federation. Its errors name the Secret and the mend.
func (r *Roots) Root(ctx context.Context, f *v1alpha1.MeshFederation) (*trust.Root, error) {
	key := client.ObjectKey{Namespace: f.Namespace, Name: SecretName(f)}
	var secret corev1.Secret
	err := r.Client.Get(ctx, key, &secret)
	if apierrors.IsNotFound(err) {
		return nil, r.missing(f, key)
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	root, err := trust.ParseRoot(secret.Data[corev1.TLSCertKey], trust.NewSecret(secret.Data[corev1.TLSPrivateKeyKey]), r.Now())
	if err != nil {
		return nil, &rootError{v1alpha1.ReasonRootInvalid, fmt.Sprintf("Secret %q can't be the root: %v", key.Name, err)}
	}
	was := f.Status.Trust.RootFingerprint
	if was != "" && was != trust.Fingerprint(root.Certificate) && f.Annotations[v1alpha1.ReplaceRootAnnotation] != was {
		return nil, &rootError{v1alpha1.ReasonRootChanged, fmt.Sprintf(
			"Secret %q holds another root than before, and members trust only what that one signed: put it back; or, to let all members enrol again under the new one, %s", key.Name, replace(f))}
	}
	return root, nil
}

// replace is the command that gives a root up.
func replace(f *v1alpha1.MeshFederation) string {
	return fmt.Sprintf("`kubectl annotate meshfederation %s -n %s --overwrite %s=%s`", f.Name, f.Namespace, v1alpha1.ReplaceRootAnnotation, f.Status.Trust.RootFingerprint)
}

func (r *Roots) missing(f *v1alpha1.MeshFederation, key client.ObjectKey) *rootError {
	switch {
	case f.Spec.Trust.Root.SecretRef != nil:
		return &rootError{v1alpha1.ReasonRootSecretNotFound, fmt.Sprintf(
			"Secret %q with the root (tls.crt, tls.key) is not in namespace %q: `kubectl create secret tls %s -n %s --cert=<file> --key=<file>`", key.Name, key.Namespace, key.Name, key.Namespace)}
	case f.Status.Trust.RootFingerprint != "":
		return &rootError{v1alpha1.ReasonRootLost, fmt.Sprintf(
			"Secret %q with the root is gone, and members trust only what it signed: restore it; or, to make a new one and let all members enrol again, %s", key.Name, replace(f))}
	default:
		return &rootError{v1alpha1.ReasonRootNotReady, fmt.Sprintf("Secret %q with the root is not there yet", key.Name)}
	}
}

// Ensure reads the root, and makes it where the federation asks for one of its
// own and never had one, or gave the one it had up.
func (r *Roots) Ensure(ctx context.Context, f *v1alpha1.MeshFederation) (root *trust.Root, made bool, err error) {
	root, err = r.Root(ctx, f)
	var missing *rootError
	if err == nil || !errors.As(err, &missing) {
		return root, false, err
	}
	lost := f.Status.Trust.RootFingerprint
	givenUp := missing.reason == v1alpha1.ReasonRootLost && f.Annotations[v1alpha1.ReplaceRootAnnotation] == lost
	if missing.reason != v1alpha1.ReasonRootNotReady && !givenUp {
		return nil, false, err
	}
	root, err = r.make(ctx, f)
	return root, err == nil, err
}

func (r *Roots) make(ctx context.Context, f *v1alpha1.MeshFederation) (*trust.Root, error) {
	req := trust.RootRequest{Federation: f.Name, Now: r.Now(), Rand: r.Rand}
	if own := f.Spec.Trust.Root.SelfSigned; own != nil && own.Validity != nil {
		req.Validity = own.Validity.Duration
	}
	root, err := trust.NewRoot(req)
	if err != nil {
		return nil, err
	}
	crt, key, err := root.PEM()
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.Namespace, Name: SecretName(f),
			Labels: map[string]string{"app.kubernetes.io/part-of": "isthmesh"},
		},
		Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: crt, corev1.TLSPrivateKeyKey: key.Reveal()},
	}
	if err := controllerutil.SetControllerReference(f, secret, r.Client.Scheme()); err != nil {
		return nil, err
	}
	// Create, never update: a root that is there is never overwritten.
	if err := r.Client.Create(ctx, secret); err != nil {
		return nil, fmt.Errorf("create Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return root, nil
}
