// SPDX-License-Identifier: Apache-2.0

package informers_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/isthmesh/isthmesh/controlplane/informers"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestReferredSecrets: what is referred to is read, by its name and in its
// namespace, and nothing else is asked for.
func TestReferredSecrets(t *testing.T) {
	secret := func(name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: meta("edge", name), Data: map[string][]byte{"cacert": []byte("nonsense"), "password": []byte("x")}}
	}
	c := newCluster(t, secret("a"), secret("b"), &corev1.ConfigMap{ObjectMeta: meta("edge", "ca"), Data: map[string]string{"ca.crt": "nonsense"}})
	s := c.start(t)
	refs := []model.CredentialRef{{Namespace: "edge", Name: "a"}, {Namespace: "edge", Name: "ca", ConfigMap: true}, {Namespace: "edge", Name: "missing"}, {Name: "nowhere"}}
	if err := s.Refer(t.Context(), refs); err != nil {
		t.Fatal(err)
	}
	in := await(t, s, func(in ingest.Input) bool { return s.Settled() && len(in.Credentials) > 1 })
	if len(in.Credentials) != 2 || in.Credentials[0].Name != "a" || in.Credentials[1].Name != "ca" || !in.Credentials[1].ConfigMap {
		t.Fatalf("credentials are %v", in.Credentials)
	}
	if again := s.Objects(); &again.Credentials[0] != &in.Credentials[0] {
		t.Error("what did not change is another slice")
	}
	for _, a := range c.kubernetes.Actions() {
		l, ok := a.(clienttesting.ListAction)
		if ok && a.GetResource().Resource == "secrets" && (a.GetNamespace() != "edge" || !strings.HasPrefix(l.GetListRestrictions().Fields.String(), "metadata.name=")) {
			t.Errorf("Secrets are listed in %q by %q", a.GetNamespace(), l.GetListRestrictions().Fields)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := c.watched.wait(ctx, "secrets/a"); err != nil {
		t.Fatal(err)
	}
	changed := secret("a")
	changed.Data = map[string][]byte{"tls.key": []byte("y")}
	if _, err := c.kubernetes.CoreV1().Secrets("edge").Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, s, func(now ingest.Input) bool { return now.Credentials[0].Invalid != in.Credentials[0].Invalid })
	if err := s.Refer(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if left := s.Objects().Credentials; len(left) != 0 || !s.Settled() {
		t.Errorf("what is not referred to is kept: %v", left)
	}
}

// TestRefusedSecretsDontBlock: nobody waits for what may not be read.
func TestRefusedSecretsDontBlock(t *testing.T) {
	c := newCluster(t)
	c.kubernetes.PrependReactor("list", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", errors.New("no rights"))
	})
	s := c.start(t)
	if err := s.Refer(t.Context(), []model.CredentialRef{{Namespace: "edge", Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	settled(t, s)
}

func settled(t *testing.T, s *informers.Set) {
	t.Helper()
	end := time.After(deadline)
	for !s.Settled() {
		select {
		case <-s.Changes():
		case <-end:
			t.Fatal("it does not settle")
		}
	}
}
