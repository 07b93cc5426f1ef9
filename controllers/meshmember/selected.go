// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// selected finds the federation that the member is in, and what follows from it.
func (r *Reconciler) selected(ctx context.Context, s *scope) (bool, error) {
	var federations v1alpha1.MeshFederationList
	if err := r.Client.List(ctx, &federations, client.InNamespace(s.member.Namespace)); err != nil {
		return false, fmt.Errorf("list MeshFederations: %w", err)
	}
	var members v1alpha1.MeshMemberList
	if err := r.Client.List(ctx, &members); err != nil {
		return false, fmt.Errorf("list MeshMembers: %w", err)
	}
	s.others = members.Items
	if i := slices.IndexFunc(federations.Items, func(f v1alpha1.MeshFederation) bool {
		return f.DeletionTimestamp != nil && f.Name == s.member.Status.Federation
	}); i >= 0 {
		s.ending = &federations.Items[i]
		return true, nil
	}
	s.federation, s.facts.Unselected = FederationOf(s.member, federations.Items)
	if s.federation == nil {
		return false, nil
	}
	s.facts.Federation = s.federation.Name
	s.facts.HubAddress = s.federation.Status.HubAddress
	s.facts.Network = s.member.Spec.Network
	if s.facts.Network == "" {
		s.facts.Network = s.member.Name
	}
	domain, err := TrustDomain(s.member.Name, s.federation.Spec.Trust)
	if err != nil {
		s.facts.Trust = &Trust{Problem: &Problem{v1alpha1.ReasonTrustDomainInvalid, err.Error()}}
	}
	s.facts.TrustDomain = domain
	return err == nil, nil
}

// TrustDomain of a member of that name in a federation with that trust.
func TrustDomain(member string, t v1alpha1.Trust) (string, error) {
	if t.Scope == v1alpha1.TrustScopeShared {
		td, err := trust.TrustDomain(t.Domain)
		return td.Name(), err
	}
	td, err := trust.MemberTrustDomain(member, t.Domain)
	return td.Name(), err
}

// FederationOf picks the one federation that selects a member. One that a
// member is in already keeps it.
func FederationOf(member *v1alpha1.MeshMember, federations []v1alpha1.MeshFederation) (*v1alpha1.MeshFederation, *Problem) {
	var matching []*v1alpha1.MeshFederation
	for i := range federations {
		f := &federations[i]
		if f.DeletionTimestamp == nil && Selects(f, member) == nil {
			matching = append(matching, f)
		}
	}
	if i := slices.IndexFunc(matching, func(f *v1alpha1.MeshFederation) bool { return f.Name == member.Status.Federation }); i >= 0 {
		return matching[i], nil
	}
	switch len(matching) {
	case 1:
		return matching[0], nil
	case 0:
		return nil, &Problem{v1alpha1.ReasonNoFederation, fmt.Sprintf(
			"no MeshFederation in namespace %q selects the member, whose labels are %s: give it the labels of a spec.memberSelector%s",
			member.Namespace, labelsOf(member), installedHint(member))}
	default:
		names := make([]string, len(matching))
		for i, f := range matching {
			names[i] = f.Name
		}
		slices.Sort(names)
		return nil, &Problem{v1alpha1.ReasonFederationConflict, fmt.Sprintf(
			"MeshFederations %s all select the member: change their spec.memberSelector or the member's labels so that one does", strings.Join(names, ", "))}
	}
}

func installedHint(member *v1alpha1.MeshMember) string {
	if member.Status.ClusterUID == "" {
		return ""
	}
	return "; what is installed in its cluster stays until the MeshMember is deleted"
}

func labelsOf(member *v1alpha1.MeshMember) string {
	if len(member.Labels) == 0 {
		return "none"
	}
	return labels.FormatLabels(member.Labels)
}

var errNotSelected = errors.New("not selected")

// Selects returns nil when a federation's selector selects a member of its
// namespace, errNotSelected when not, and another error for a selector that
// can't be read.
func Selects(f *v1alpha1.MeshFederation, member *v1alpha1.MeshMember) error {
	selector, err := metav1.LabelSelectorAsSelector(&f.Spec.MemberSelector)
	if err != nil {
		return err
	}
	if f.Namespace != member.Namespace || !selector.Matches(labels.Set(member.Labels)) {
		return errNotSelected
	}
	return nil
}
