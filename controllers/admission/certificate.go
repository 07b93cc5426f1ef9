// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// SecretName of the root that the webhook's certificates are signed by. It
// signs nothing else, and only the API server trusts it.
const SecretName = "isthmesh-hub-webhook"

const (
	// lookEvery is how often the Secret is read: another replica may have
	// written it, or somebody deleted it.
	lookEvery = 10 * time.Minute
	// lookAgain is how soon it is tried again after a failure.
	lookAgain = 5 * time.Second
)

// Certificate is what the webhook serves with: a leaf made in memory, under a
// root that is kept in a Secret, so that all replicas of the hub have one
// caBundle and a restart changes nothing. No file is written: the hub's file
// system is read-only.
type Certificate struct {
	// Client reads and writes the Secret live.
	Client client.Client
	// Namespace of the hub.
	Namespace string
	Now       func() time.Time
	Rand      io.Reader
	Log       logr.Logger
	// Changed is told when the root is another one.
	Changed chan<- struct{}

	mu   sync.Mutex
	root *trust.Root
	leaf *tls.Certificate
}

// Start keeps the certificate up to date until ctx ends.
func (c *Certificate) Start(ctx context.Context) error {
	for {
		wait := lookEvery
		if err := c.Refresh(ctx); err != nil && ctx.Err() == nil {
			c.Log.Error(err, "the webhook has no up-to-date certificate; until it has, objects are checked only by the controllers")
			wait = lookAgain
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// NeedLeaderElection is false: every replica answers the API server.
func (*Certificate) NeedLeaderElection() bool { return false }

// Refresh reads the root, or makes it, and signs a leaf where one is due.
func (c *Certificate) Refresh(ctx context.Context) error {
	root, err := c.load(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	same := c.root != nil && c.root.Certificate.Equal(root.Certificate)
	if same && trust.RenewalReason(c.leaf.Leaf, c.Now()) == "" {
		return nil
	}
	leaf, err := root.HubCertificate(ServiceName+"."+c.Namespace+".svc", c.Rand, c.Now(), 0)
	if err != nil {
		return fmt.Errorf("make the webhook's certificate: %w", err)
	}
	c.root, c.leaf = root, leaf
	if !same {
		select {
		case c.Changed <- struct{}{}:
		default: // it has yet to look, and will see this too
		}
	}
	return nil
}

// load reads the root from its Secret. One that is of no use is replaced: nobody
// but the webhook depends on it.
func (c *Certificate) load(ctx context.Context) (*trust.Root, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: SecretName}}
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read Secret %s/%s: %w", c.Namespace, SecretName, err)
	}
	there := err == nil
	if there {
		root, err := trust.ParseRoot(secret.Data[corev1.TLSCertKey], trust.NewSecret(secret.Data[corev1.TLSPrivateKeyKey]), c.Now())
		if err == nil && trust.RenewalReason(root.Certificate, c.Now()) == "" {
			return root, nil
		}
		c.Log.Info("the webhook's root is made anew", "secret", SecretName, "cause", fmt.Sprint(err))
	}
	return c.make(ctx, secret, there)
}

func (c *Certificate) make(ctx context.Context, secret *corev1.Secret, there bool) (*trust.Root, error) {
	root, err := trust.NewRoot(trust.RootRequest{Federation: ServiceName, Now: c.Now(), Rand: c.Rand})
	if err != nil {
		return nil, err
	}
	crt, key, err := root.PEM()
	if err != nil {
		return nil, err
	}
	secret.Data = map[string][]byte{corev1.TLSCertKey: crt, corev1.TLSPrivateKeyKey: key.Reveal()}
	if there {
		err = c.Client.Update(ctx, secret)
	} else {
		secret.Labels = map[string]string{"app.kubernetes.io/part-of": "isthmesh"}
		secret.Type = corev1.SecretTypeTLS
		err = c.Client.Create(ctx, secret)
	}
	if err != nil { // another replica was first: its root is read in a moment
		return nil, fmt.Errorf("write Secret %s/%s: %w", c.Namespace, SecretName, err)
	}
	return root, nil
}

// GetCertificate is the one for tls.Config.
func (c *Certificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaf == nil {
		return nil, errors.New("the webhook has no certificate yet")
	}
	return c.leaf, nil
}

// Roots is the PEM bundle for the webhook's caBundle; empty while there is none.
func (c *Certificate) Roots() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.root == nil {
		return ""
	}
	return string(trust.EncodeBundle(c.root.Bundle()))
}
