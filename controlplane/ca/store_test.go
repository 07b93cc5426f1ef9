// SPDX-License-Identifier: Apache-2.0

package ca_test

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/federation/trust"
)

const namespace = "istio-system"

func TestSaveAndLoad(t *testing.T) {
	secrets := fake.NewClientset().CoreV1().Secrets(namespace)
	now := time.Now()
	none, err := ca.Load(t.Context(), secrets, ca.CACertsSecret, now)
	if none != nil || err != nil {
		t.Fatalf("got %v, %v of no Secret", none, err)
	}
	root := newRoot(t)
	for range 2 { // new, then over what is there
		signer := memberSigner(t, root, west, 0)
		wantErr(t, ca.Save(t.Context(), secrets, ca.CACertsSecret, signer), "")
		again := must[*ca.Signer](t)(ca.Load(t.Context(), secrets, ca.CACertsSecret, now))
		if !again.Certificate().Equal(signer.Certificate()) || !again.Roots().Equal(signer.Roots()) {
			t.Error("another signer came back")
		}
	}
	secret := must[*corev1.Secret](t)(secrets.Get(t.Context(), ca.CACertsSecret, metav1.GetOptions{}))
	for _, key := range []string{"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"} {
		if len(secret.Data[key]) == 0 {
			t.Errorf("Istio's users miss key %q", key)
		}
	}
}

func TestLoadNamesSecretAndKey(t *testing.T) {
	clients := fake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: ca.CACertsSecret}, Data: map[string][]byte{"ca-cert.pem": []byte("x")},
	})
	_, err := ca.Load(t.Context(), clients.CoreV1().Secrets(namespace), ca.CACertsSecret, time.Now())
	wantErr(t, err, `secret istio-system/cacerts: key "ca-cert.pem": no certificate`)

	down := errors.New("connection refused")
	clients.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, down })
	_, err = ca.Load(t.Context(), clients.CoreV1().Secrets(namespace), ca.CACertsSecret, time.Now())
	if !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
	wantErr(t, ca.Save(t.Context(), clients.CoreV1().Secrets(namespace), ca.CACertsSecret, memberSigner(t, newRoot(t), west, 0)), "connection refused")
}

// TestReplicasAgreeOnTheSelfSignedRoot: all that start at once use one root.
func TestReplicasAgreeOnTheSelfSignedRoot(t *testing.T) {
	secrets := fake.NewClientset().CoreV1().Secrets(namespace)
	var mu sync.Mutex
	var wg sync.WaitGroup
	roots := map[string]bool{}
	for range 8 {
		wg.Go(func() {
			signer, err := ca.LoadOrMakeSelfSigned(t.Context(), secrets, "mesh1", rand.Reader, time.Now())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			roots[trust.Fingerprint(signer.Certificate())] = signer.SelfSigned()
		})
	}
	wg.Wait()
	if len(roots) != 1 {
		t.Errorf("replicas use %d roots", len(roots))
	}
	for fingerprint, selfSigned := range roots {
		if !selfSigned {
			t.Errorf("root %s is not self-signed", fingerprint)
		}
	}
	secret := must[*corev1.Secret](t)(secrets.Get(t.Context(), ca.SelfSignedSecret, metav1.GetOptions{}))
	if len(secret.Data["ca-cert.pem"]) == 0 || len(secret.Data["ca-key.pem"]) == 0 {
		t.Error("Istio's users miss a key in the Secret")
	}
}

func TestSelfSignedRootThatCannotBeKept(t *testing.T) {
	clients := fake.NewClientset()
	clients.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("forbidden") })
	signer, err := ca.LoadOrMakeSelfSigned(t.Context(), clients.CoreV1().Secrets(namespace), "mesh1", rand.Reader, time.Now())
	wantErr(t, err, `write secret "istio-ca-secret": forbidden`)
	if signer != nil {
		t.Error("a root is used that the next start would not know")
	}
}
