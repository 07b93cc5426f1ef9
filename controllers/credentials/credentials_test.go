// SPDX-License-Identifier: Apache-2.0

package credentials_test

import (
	"context"
	"errors"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/isthmesh/isthmesh/controllers/credentials"
	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(m, &server) }

const deadline = time.Minute

// TestBind on a real API server, with the rights that the chart gives: the
// control plane reads Secrets where it has bound the role, and nowhere else.
func TestBind(t *testing.T) {
	admin, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, ns := range []string{"edge", "bank"} {
		if _, err := admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	applyRoles(t, admin)
	own := rest.CopyConfig(server.Config)
	own.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:istio-system:istiod"}
	client, err := kubernetes.NewForConfig(own)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	binder := &credentials.Binder{
		Client: client.RbacV1(), Role: credentials.RoleName("istiod", "istio-system"),
		Namespace: "istio-system", Account: "istiod", Now: func() time.Time { return now },
	}
	readable := func(ns string) func() (bool, error) {
		return func() (bool, error) {
			_, err := client.CoreV1().Secrets(ns).Get(t.Context(), "any", metav1.GetOptions{})
			if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
				return false, err
			}
			return !apierrors.IsForbidden(err), nil
		}
	}
	until(t, true, may(t, client, "create", "rolebindings", "edge", ""))
	until(t, true, may(t, client, "bind", "clusterroles", "", binder.Role))
	until(t, false, readable("edge"))
	if err := binder.Bind(t.Context(), []string{"edge", "not-there"}); err != nil {
		t.Fatal(err)
	}
	until(t, true, readable("edge"))
	until(t, false, readable("bank"))
	if err := binder.Bind(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	until(t, true, readable("edge")) // another replica may just have bound it
	now = now.Add(2 * time.Minute)
	if err := binder.Bind(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	until(t, false, readable("edge"))

	greedy := *binder
	greedy.Role = "cluster-admin"
	if err := greedy.Bind(t.Context(), []string{"edge"}); !apierrors.IsForbidden(errorsOf(err)) {
		t.Errorf("another role can be bound: %v", err)
	}
}

// errorsOf is the first error of a list.
func errorsOf(err error) error {
	var list interface{ Unwrap() []error }
	if errors.As(err, &list) && len(list.Unwrap()) > 0 {
		return errorsOf(list.Unwrap()[0])
	}
	return err
}

// until the API server's authorizer has seen what was written.
func until(t *testing.T, want bool, ask func() (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for {
		got, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("it may: %v, want %v", got, want)
		}
	}
}

// may asks whether a client has a right on objects of RBAC.
func may(t *testing.T, client kubernetes.Interface, verb, resource, namespace, name string) func() (bool, error) {
	t.Helper()
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
		Verb: verb, Group: rbacv1.GroupName, Resource: resource, Namespace: namespace, Name: name,
	}}}
	return func() (bool, error) {
		answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	}
}

// applyRoles creates the roles of the istiod chart.
func applyRoles(t *testing.T, admin kubernetes.Interface) {
	t.Helper()
	objects, err := install.Render(install.Istiod, nil, "istiod", "istio-system", "v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		switch o.GetKind() {
		case "ClusterRole":
			var r rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &r); err != nil {
				t.Fatal(err)
			}
			if _, err := admin.RbacV1().ClusterRoles().Create(t.Context(), &r, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		case "ClusterRoleBinding":
			var b rbacv1.ClusterRoleBinding
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &b); err != nil {
				t.Fatal(err)
			}
			if _, err := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &b, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
