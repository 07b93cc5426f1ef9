// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"testing"

	api "istio.io/api/security/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"

	ingest "github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// thousand policies of one namespace.
func thousand() ingest.Input {
	in := ingest.Input{Settings: settings}
	for i := range 1000 {
		r := from(&api.Source{Principals: []string{fmt.Sprintf("cluster.local/ns/shop/sa/caller-%d", i)}})
		r.To = []*api.Rule_To{{Operation: &api.Operation{Methods: []string{"GET"}, Paths: []string{fmt.Sprintf("/api/%d/*", i)}}}}
		in.AuthorizationPolicies = append(in.AuthorizationPolicies, object(fmt.Sprintf("p-%04d", i), api.AuthorizationPolicy_ALLOW, r))
	}
	return in
}

// BenchmarkThousandPolicies in one namespace: reading them all, reading them
// again after one changed, choosing those of a workload, and its filters.
func BenchmarkThousandPolicies(b *testing.B) {
	in := thousand()
	out := ingest.Build(in, nil)
	m := &model.Mesh{Settings: settings, Authorizations: out.Authorizations}
	b.Run("Read", func(b *testing.B) {
		for b.Loop() {
			ingest.Build(in, nil)
		}
	})
	b.Run("ReadAgain", func(b *testing.B) {
		for b.Loop() {
			next := in
			next.AuthorizationPolicies = append([]*securityv1.AuthorizationPolicy(nil), in.AuthorizationPolicies...)
			ingest.Build(next, out)
		}
	})
	chosen := policy.Choose(m, server, nil)
	b.Run("Choose", func(b *testing.B) {
		for b.Loop() {
			policy.Choose(m, server, chosen)
		}
	})
	b.Run("Translate", func(b *testing.B) {
		for b.Loop() {
			policy.HTTP(settings, chosen)
			policy.TCP(settings, chosen)
		}
	})
}
