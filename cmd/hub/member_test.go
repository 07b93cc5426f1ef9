// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/member"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

// limited is the kubeconfig of a user that may do in a member what
// config/rbac/member.yaml says, and no more.
func limited(t *testing.T, s *apiserver.Server, c client.Client) []byte {
	t.Helper()
	const user = "isthmesh-hub"
	subject := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	roles := apiserver.ReadFile[rbacv1.ClusterRole](t, "config/rbac/member.yaml")
	create(t, c, roles[0], roles[1],
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user}, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roles[0].Name},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: user}, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roles[1].Name},
		})
	return kubeconfig(t, s, user)
}

// play does for a member's cluster, until the test ends, what controllers would
// that it lacks: Deployments come up and are collected, the gateway gets an
// address. The mesh's namespace is there before, because here none ever goes.
func play(t *testing.T, c client.Client, address string) {
	t.Helper()
	err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: system}})
	if client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			// It goes on after whatever happens, as controllers do: who waits for what it
			// does fails if it never comes to that.
			if err := playOnce(ctx, c, address); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				t.Logf("play the controllers: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func playOnce(ctx context.Context, c client.Client, address string) error {
	var deployments appsv1.DeploymentList
	if err := c.List(ctx, &deployments, client.InNamespace(system)); err != nil {
		return err
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		n := *d.Spec.Replicas
		if d.DeletionTimestamp != nil {
			if err := c.Patch(ctx, d, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
				return err
			}
			continue
		}
		if d.Status.ObservedGeneration == d.Generation {
			continue
		}
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: n, ReadyReplicas: n, UpdatedReplicas: n, AvailableReplicas: n,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
			},
		}
		if err := c.Status().Update(ctx, d); err != nil {
			return err
		}
	}
	var s corev1.Service
	if err := c.Get(ctx, client.ObjectKey{Namespace: system, Name: "istio-eastwestgateway"}, &s); err != nil {
		return err
	}
	if len(s.Status.LoadBalancer.Ingress) > 0 {
		return nil
	}
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
	return c.Status().Update(ctx, &s)
}

// enrolment waits for the Secret that the hub leaves in a member, with a token.
func enrolment(t *testing.T, c client.Client) member.Enrolment {
	t.Helper()
	var out member.Enrolment
	eventually(t, func() string {
		var s corev1.Secret
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: system, Name: v1alpha1.EnrolmentSecret}, &s); err != nil {
			return err.Error()
		}
		e, err := member.ParseEnrolment(s.Data)
		if err != nil {
			return err.Error()
		}
		if !e.HasToken() {
			return "the enrolment has no token"
		}
		out = e
		return ""
	})
	return out
}

func enroll(t *testing.T, e member.Enrolment) (*member.Credential, error) {
	t.Helper()
	return member.Enroll(t.Context(), e, rand.Reader)
}

// unreachable is true for what passes by itself.
func unreachable(err error) bool {
	var known *member.HubError
	return errors.As(err, &known) && known.Reason == member.HubUnreachable
}

// controlPlane enrols as a member's control plane does, writes its CA down, and
// keeps a stream with the exports until the test ends.
func controlPlane(t *testing.T, c client.Client, exports ...*model.Export) *member.Client {
	t.Helper()
	e := enrolment(t, c)
	var credential *member.Credential
	eventually(t, func() string {
		var err error
		if credential, err = enroll(t, e); unreachable(err) {
			return err.Error() // the hub serves a new federation in its own time
		} else if err != nil {
			t.Fatal(err)
		}
		return ""
	})
	create(t, c, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: ca.CACertsSecret}, Data: credential.Data()})
	signer, err := ca.LoadCACerts(credential.Data(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ca.NewAuthority(ca.Settings{
		TrustDomain: spiffeid.RequireTrustDomainFromString(e.TrustDomain), Now: time.Now, Rand: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Use(signer); err != nil {
		t.Fatal(err)
	}
	stream := member.New(member.Options{
		Hub: e.Hub, Member: model.ClusterID(e.Member), Network: model.NetworkID(e.Member), Version: "test", Instance: "istiod-1",
		Certificate: authority.ServerCertificate([]string{"istiod.istio-system.svc"}).Current, Log: testr.New(t),
		MinBackoff: 50 * time.Millisecond, MaxBackoff: time.Second,
	})
	stream.SetExports(exports)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = stream.Run(ctx) // ends with ctx's error
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return stream
}
