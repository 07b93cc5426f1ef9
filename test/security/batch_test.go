// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	ingest "github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/security"

	securityv1 "istio.io/client-go/pkg/apis/security/v1"
)

var policies = flag.Int("policies", 1000, "generated policies that a real Envoy must take; all of 5,000 with -all")

// batch is how many policies one push has.
const batch = 100

// TestEnvoyTakesGeneratedPolicies: a listener that Envoy refuses keeps the old
// policies in force, so there must be none, whatever a policy says.
func TestEnvoyTakesGeneratedPolicies(t *testing.T) {
	w := newWorld(t)
	n := *policies
	if *all {
		n = 5000
	}
	settings := *w.settings
	settings.Providers = providers()
	r := security.Random{Rand: rand.New(rand.NewPCG(1, 2))}
	enforced := 0
	for at := 0; at < n; at += batch {
		var objects []*securityv1.AuthorizationPolicy
		for i := range batch {
			objects = append(objects, r.Policy(at+i))
		}
		var tokens []*securityv1.RequestAuthentication
		for i := range batch / 5 {
			tokens = append(tokens, r.Tokens(at+i))
		}
		out := ingest.Build(ingest.Input{AuthorizationPolicies: objects, RequestAuthentications: tokens, Settings: &settings}, nil)
		for _, a := range out.Authorizations {
			if a.Invalid == "" {
				enforced++
			}
		}
		m := &model.Mesh{Settings: &settings, Authorizations: out.Authorizations, Authentications: out.Authentications}
		if err := w.try(m); err != nil {
			t.Fatalf("policies %d to %d: %v", at, at+batch, err)
		}
	}
	t.Logf("%d policies, %d of them valid", n, enforced)
}

func providers() []model.Provider {
	return []model.Provider{
		{Name: "grpc", GRPC: true, Host: "authz.shop.svc.cluster.local", Port: 9000, MaxBodyBytes: 1024, ClearRouteCache: true},
		{Name: "http", Host: "authz.shop.svc.cluster.local", Port: 8000, IncludeRequestHeaders: []string{"x-*", "*-y", "z"}, HeadersToUpstreamOnAllow: []string{"x-ok"}, HeadersToDownstreamOnDeny: []string{"x-*"}, HeadersToDownstreamOnAllow: []string{"x-*"}, PathPrefix: "/check", StatusOnError: 503, IncludeAdditionalRequestHeaders: []model.Header{{Name: "x-added", Value: "1"}}},
	}
}
