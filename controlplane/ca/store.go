// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// Secrets of the control plane's namespace. A client-go client's
// CoreV1().Secrets(namespace) is one.
type Secrets interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Secret, error)
	Create(ctx context.Context, secret *corev1.Secret, o metav1.CreateOptions) (*corev1.Secret, error)
	Update(ctx context.Context, secret *corev1.Secret, o metav1.UpdateOptions) (*corev1.Secret, error)
}

// Load reads the signer of a Secret like cacerts. There is neither a signer nor
// an error when the Secret does not exist.
func Load(ctx context.Context, secrets Secrets, name string, now time.Time) (*Signer, error) {
	secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read secret %q: %w", name, err)
	}
	signer, err := LoadCACerts(secret.Data, now)
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", secret.Namespace, name, err)
	}
	return signer, nil
}

// Save writes a signer to a Secret like cacerts, new or over what it held.
func Save(ctx context.Context, secrets Secrets, name string, s *Signer) error {
	data, err := EncodeCACerts(s)
	if err != nil {
		return fmt.Errorf("write secret %q: %w", name, err)
	}
	secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = secrets.Create(ctx, newSecret(name, data), metav1.CreateOptions{})
	case err == nil:
		secret = secret.DeepCopy()
		secret.Data = data
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write secret %q: %w", name, err)
	}
	return nil
}

// LoadOrMakeSelfSigned reads the signer of Secret istio-ca-secret, or makes a
// self-signed root and keeps it there. Of several replicas that start at once
// the first to write wins, and all use what it wrote.
func LoadOrMakeSelfSigned(ctx context.Context, secrets Secrets, meshID string, rand io.Reader, now time.Time) (*Signer, error) {
	signer, err := Load(ctx, secrets, SelfSignedSecret, now)
	if err != nil || signer != nil {
		return signer, err
	}
	root, err := trust.NewRoot(trust.RootRequest{Federation: meshID, Now: now, Rand: rand})
	if err != nil {
		return nil, err
	}
	signer, err = NewSigner(root.Certificate, root.Key, nil, root.Bundle(), now)
	if err != nil {
		return nil, err
	}
	data, err := EncodeCACerts(signer)
	if err != nil {
		return nil, err
	}
	switch _, err = secrets.Create(ctx, newSecret(SelfSignedSecret, data), metav1.CreateOptions{}); {
	case apierrors.IsAlreadyExists(err):
		return Load(ctx, secrets, SelfSignedSecret, now)
	case err != nil:
		return nil, fmt.Errorf("write secret %q: %w", SelfSignedSecret, err)
	}
	return signer, nil
}

func newSecret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/managed-by": "istiod"}},
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}
}
