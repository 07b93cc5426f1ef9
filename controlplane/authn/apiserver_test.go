// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

// TestTokensOfARealAPIServer has a real API server issue and review tokens.
func TestTokensOfARealAPIServer(t *testing.T) {
	server := must[*apiserver.Server](t)(apiserver.Start())
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	kube := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(server.Config))
	accounts, pods := kube.CoreV1().ServiceAccounts("default"), kube.CoreV1().Pods("default")
	_, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "cart"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string) *corev1.Pod {
		return must[*corev1.Pod](t)(pods.Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.PodSpec{ServiceAccountName: "cart", Containers: []corev1.Container{{Name: "c", Image: "none"}}},
		}, metav1.CreateOptions{}))
	}
	pod, gone := create("cart-0"), create("cart-1")
	issue := func(bound *corev1.Pod, audiences ...string) string {
		spec := authenticationv1.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: ptr.To[int64](600)}
		if bound != nil {
			spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: bound.Name, UID: bound.UID}
		}
		answer, err := accounts.CreateToken(t.Context(), "cart", &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + answer.Status.Token
	}

	c := &authntest.Clock{}
	// Answers are kept for so short a time that each call is a review.
	a := newTokens(t, kube.AuthenticationV1().TokenReviews(), c, authn.Limits{CacheTTL: time.Nanosecond, PeerBurst: 10000, Burst: 10000, Timeout: time.Minute})
	bound, unbound, orphan := issue(pod, authn.Audience), issue(nil, authn.Audience), issue(gone, authn.Audience)

	caller, err := a.Authenticate(with(t.Context(), bound))
	wantStatus(t, err, codes.OK, "")
	if caller.Identity != spiffeid.RequireFromString("spiffe://west.shop.example/ns/default/sa/cart") ||
		caller.PodName != "cart-0" || caller.PodUID != string(pod.UID) {
		t.Errorf("caller is %+v", caller)
	}
	caller, err = a.Authenticate(with(t.Context(), unbound))
	wantStatus(t, err, codes.OK, "")
	if caller.PodName != "" {
		t.Errorf("caller is %+v", caller)
	}

	foreign := authntest.New(c.Now)
	for name, header := range map[string]string{
		"OtherAudience": issue(pod, "vault"),
		"APIAudience":   issue(pod),
		"OtherCluster":  "Bearer " + foreign.Issue(authntest.Token{Namespace: "default", ServiceAccount: "cart"}),
		"Cut":           bound[:len(bound)-20],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Authenticate(with(t.Context(), header))
			wantStatus(t, err, codes.Unauthenticated, "")
		})
	}

	// The API server keeps good answers too, for ten seconds, so this token was
	// not shown before.
	if err := pods.Delete(t.Context(), gone.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { _, err = a.Authenticate(with(t.Context(), orphan)); return err != nil })
	wantStatus(t, err, codes.Unauthenticated, "refused by the API server")
	_, err = a.Authenticate(with(t.Context(), bound))
	wantStatus(t, err, codes.OK, "")
}
