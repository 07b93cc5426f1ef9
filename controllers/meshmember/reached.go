// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/remote"
)

// SecretName of a member's kubeconfig.
func SecretName(member *v1alpha1.MeshMember) string {
	switch spec := member.Spec; {
	case spec.KubeconfigSecretRef != nil:
		return spec.KubeconfigSecretRef.Name
	case spec.ClusterRef != nil:
		return spec.ClusterRef.Name + "-kubeconfig"
	default:
		return "" // the API server refuses this
	}
}

// reached finds the client for the member's API server.
func (r *Reconciler) reached(ctx context.Context, s *scope) (bool, error) {
	cluster, err := r.connect(ctx, s.member)
	var known *remote.Error
	if errors.As(err, &known) {
		s.facts.Connect = &Outcome{Problem: &Problem{known.Reason, known.Message}}
		return false, nil
	}
	s.cluster = cluster
	return err == nil, err
}

func (r *Reconciler) connect(ctx context.Context, member *v1alpha1.MeshMember) (*remote.Cluster, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: member.Namespace, Name: SecretName(member)}
	err := r.Client.Get(ctx, key, &secret)
	if apierrors.IsNotFound(err) {
		return nil, &remote.Error{Reason: v1alpha1.ReasonKubeconfigSecretNotFound, Err: err, Message: fmt.Sprintf(
			"Secret %q with the cluster's kubeconfig is not in namespace %q: `kubectl create secret generic %s -n %s --from-file=kubeconfig=<file>`",
			key.Name, key.Namespace, key.Name, key.Namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return r.Clusters.Connect(client.ObjectKeyFromObject(member), &secret)
}

// identified learns which cluster it is, and that it may be this member's. A
// cluster's identity is written down before anything is done in it, so that
// two members that name one cluster know of each other.
func (r *Reconciler) identified(ctx context.Context, s *scope) (bool, error) {
	identity, err := s.cluster.Identify(ctx)
	s.facts.Identity = identity
	if err == nil {
		err = s.cluster.CheckRights(ctx, v1alpha1.SystemNamespace)
	}
	if err == nil {
		err = alreadyMember(s.member, identity.UID, s.others)
	}
	if err != nil {
		s.facts.Connect = &Outcome{Problem: problemOf(err, v1alpha1.ReasonAPIServerError)}
		return false, nil
	}
	s.facts.Connect = &Outcome{}
	return s.member.Status.ClusterUID == identity.UID, nil
}

// alreadyMember tells which older member is the same cluster, nil when none is.
func alreadyMember(member *v1alpha1.MeshMember, uid string, others []v1alpha1.MeshMember) error {
	for i := range others {
		other := &others[i]
		if other.UID != member.UID && other.Status.ClusterUID == uid && older(other, member) {
			return &remote.Error{Reason: v1alpha1.ReasonClusterAlreadyMember, Message: fmt.Sprintf(
				"the cluster is MeshMember %q already, which is older: delete one of the two, or give this one the kubeconfig of another cluster", qualified(other, member.Namespace))}
		}
	}
	return nil
}

// older tells which of two members goes first; no two are equal.
func older(a, b *v1alpha1.MeshMember) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) < 0
}

func qualified(member *v1alpha1.MeshMember, from string) string {
	if member.Namespace == from {
		return member.Name
	}
	return member.Namespace + "/" + member.Name
}
