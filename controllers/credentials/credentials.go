// SPDX-License-Identifier: Apache-2.0

// Package credentials lets a member's control plane read the Secrets and
// ConfigMaps that gateways refer to, in the namespaces where they are and
// nowhere else: it binds a ClusterRole of the chart there. Whoever owns a
// namespace sees by the RoleBinding that the control plane reads Secrets in it.
// It runs in the member's control plane.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	rbacapply "k8s.io/client-go/applyconfigurations/rbac/v1"
	rbac "k8s.io/client-go/kubernetes/typed/rbac/v1"
)

const fieldManager = "isthmesh-istiod"

// keepAfter is how long a namespace stays bound that nothing refers to any more:
// another replica may be about to see what this one has not.
const keepAfter = time.Minute

// Binder binds the role in namespaces.
type Binder struct {
	Client rbac.RbacV1Interface
	// Role is the name of the ClusterRole, and of the RoleBindings.
	Role string
	// Namespace and Account of the control plane.
	Namespace, Account string
	// Now tells the time.
	Now func() time.Time

	bound map[string]bool
	// since when a bound namespace is not wanted.
	since map[string]time.Time
}

// RoleName is the chart's name of the role.
func RoleName(account, namespace string) string { return account + "-credentials-" + namespace }

// Bind the role in each of the namespaces, and unbind it where it has not been
// wanted for a while. What failed is tried again by the next call.
func (b *Binder) Bind(ctx context.Context, namespaces []string) error {
	if b.bound == nil {
		b.bound, b.since = map[string]bool{}, map[string]time.Time{}
	}
	var failed error
	for _, ns := range namespaces {
		delete(b.since, ns)
		if b.bound[ns] {
			continue
		}
		if err := b.bind(ctx, ns); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		b.bound[ns] = true
	}
	return errors.Join(failed, b.unbind(ctx, namespaces))
}

func (b *Binder) bind(ctx context.Context, namespace string) error {
	want := rbacapply.RoleBinding(b.Role, namespace).
		WithLabels(map[string]string{"app.kubernetes.io/managed-by": b.Account, "app.kubernetes.io/part-of": "isthmesh"}).
		WithAnnotations(map[string]string{"isthmesh.dev/reason": "a gateway refers to a Secret or ConfigMap of this namespace"}).
		WithRoleRef(rbacapply.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("ClusterRole").WithName(b.Role)).
		WithSubjects(rbacapply.Subject().WithKind(rbacv1.ServiceAccountKind).WithNamespace(b.Namespace).WithName(b.Account))
	_, err := b.Client.RoleBindings(namespace).Apply(ctx, want, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if apierrors.IsNotFound(err) {
		return nil // no such namespace: nothing to read there either
	}
	if err != nil {
		return fmt.Errorf("apply RoleBinding %s/%s: %w", namespace, b.Role, err)
	}
	return nil
}

// unbind where nothing is wanted, also what an earlier process bound.
func (b *Binder) unbind(ctx context.Context, wanted []string) error {
	list, err := b.Client.RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", b.Role).String(),
	})
	if err != nil {
		return fmt.Errorf("list RoleBindings %s: %w", b.Role, err)
	}
	var failed error
	there := make(map[string]bool, len(list.Items))
	for i := range list.Items {
		ns := list.Items[i].Namespace
		there[ns] = true
		if slices.Contains(wanted, ns) {
			continue
		}
		if b.since[ns].IsZero() {
			b.since[ns] = b.Now()
		}
		if b.Now().Sub(b.since[ns]) < keepAfter {
			continue
		}
		err := b.Client.RoleBindings(ns).Delete(ctx, b.Role, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			failed = errors.Join(failed, fmt.Errorf("delete RoleBinding %s/%s: %w", ns, b.Role, err))
			continue
		}
		delete(b.bound, ns)
		delete(b.since, ns)
	}
	// What somebody deleted is bound again when it is next wanted.
	for ns := range b.bound {
		if !there[ns] {
			delete(b.bound, ns)
		}
	}
	return failed
}
