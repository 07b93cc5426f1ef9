// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// right is something that the hub does in a member.
type right struct {
	group, resource, namespace string
	verbs                      []string
}

// String is what a ClusterRole would say.
func (r right) String() string {
	name := r.resource
	if r.group != "" {
		name += "." + r.group
	}
	out := strings.Join(r.verbs, ",") + " " + name
	if r.namespace != "" {
		out += " in namespace " + r.namespace
	}
	return out
}

// mostRights that a message names.
const mostRights = 5

var (
	write = []string{"get", "create", "patch", "delete"}
	all   = right{group: "*", resource: "*", verbs: []string{"*"}}
)

// Rights that the hub needs in a member whose mesh is in a namespace: to
// identify the cluster, install, watch over it, and take it all away again.
func rights(namespace string) []right {
	return []right{
		{"", "namespaces", "", write},
		{"apiextensions.k8s.io", "customresourcedefinitions", "", write},
		// escalate: the roles that it installs may do what it may not.
		{"rbac.authorization.k8s.io", "clusterroles", "", append([]string{"escalate", "bind"}, write...)},
		{"rbac.authorization.k8s.io", "clusterrolebindings", "", write},
		{"admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", write},
		{"admissionregistration.k8s.io", "validatingwebhookconfigurations", "", write},
		{"rbac.authorization.k8s.io", "roles", namespace, append([]string{"escalate", "bind"}, write...)},
		{"rbac.authorization.k8s.io", "rolebindings", namespace, write},
		{"", "serviceaccounts", namespace, write},
		{"", "secrets", namespace, write},
		{"", "configmaps", namespace, write},
		{"", "services", namespace, write},
		{"apps", "deployments", namespace, write},
		{"policy", "poddisruptionbudgets", namespace, write},
		{"autoscaling", "horizontalpodautoscalers", namespace, write},
		{"", "pods", namespace, []string{"list"}},
		{"", "nodes", "", []string{"list"}},
		{"", "configmaps", "", []string{"list", "delete"}},
	}
}

// CheckRights returns an *Error with reason Forbidden that names all that the
// kubeconfig's user may not do and the hub has to. Once it found none missing
// it asks no more.
func (c *Cluster) CheckRights(ctx context.Context, namespace string) error {
	if c.mayAll.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	admin, err := c.may(ctx, all, "*")
	if err != nil {
		return err
	}
	var missing []string
	if !admin {
		for _, r := range rights(namespace) {
			lacks := right{group: r.group, resource: r.resource, namespace: r.namespace}
			for _, verb := range r.verbs {
				ok, err := c.may(ctx, r, verb)
				if err != nil {
					return err
				}
				if !ok {
					lacks.verbs = append(lacks.verbs, verb)
				}
			}
			if len(lacks.verbs) > 0 {
				missing = append(missing, lacks.String())
			}
		}
	}
	if n := len(missing) - mostRights; n > 0 {
		missing = append(missing[:mostRights], fmt.Sprintf("%d more", n))
	}
	if len(missing) > 0 {
		return &Error{Reason: v1alpha1.ReasonForbidden, Message: fmt.Sprintf(
			"the kubeconfig's user may not %s in the cluster: bind it to a role with these rights, as config/rbac/member.yaml has it", strings.Join(missing, "; "))}
	}
	c.mayAll.Store(true)
	return nil
}

func (c *Cluster) may(ctx context.Context, r right, verb string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"}, Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: r.namespace, Verb: verb, Group: r.group, Resource: r.resource},
	}}
	body, err := json.Marshal(review)
	if err != nil {
		return false, err
	}
	const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
	raw, err := c.rest.Post().AbsPath(path).SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").Body(body).Do(ctx).Raw()
	if err == nil {
		err = json.Unmarshal(raw, review)
	}
	if err != nil {
		return false, explain(err, c.Server)
	}
	return review.Status.Allowed, nil
}
