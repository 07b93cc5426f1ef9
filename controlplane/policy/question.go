// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strconv"
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// question is what an external authorizer is asked, and when: an RBAC filter's
// shadow rules leave the name of the rule that matched, which turns the
// ext_authz filter after it on.
type question struct {
	provider *model.Provider
	when     *rbacv3.RBAC
}

const (
	// asked begins the names of rules that lead to a question.
	asked        = "istio-ext-authz-"
	matchedRule  = "shadow_effective_policy_id"
	shadowPrefix = "istio_ext_authz_"
)

// questions of CUSTOM policies, one for each provider, sorted by its name. All
// of them must say yes.
func (c *Chosen) questions(s *model.Settings, tcp bool) []question {
	r := reading{settings: s, tcp: tcp, refuses: true}
	var out []question
	for _, a := range c.acting(model.Custom) {
		p := provider(s, a)
		if p == nil || tcp && !p.GRPC {
			continue
		}
		i := slices.IndexFunc(out, func(q question) bool { return q.provider == p })
		if i < 0 {
			out = append(out, question{provider: p, when: &rbacv3.RBAC{Action: rbacv3.RBAC_DENY, Policies: map[string]*rbacv3.Policy{}}})
			i = len(out) - 1
		}
		rules := map[string]*rbacv3.Policy{}
		r.rules(a, rules)
		for name, rule := range rules {
			out[i].when.Policies[asked+name] = rule
		}
	}
	out = slices.DeleteFunc(out, func(q question) bool { return len(q.when.Policies) == 0 })
	slices.SortFunc(out, func(a, b question) int { return strings.Compare(a.provider.Name, b.provider.Name) })
	return out
}

// unanswerable are CUSTOM policies that nobody can be asked about, as DENY: what
// they match is refused. An authorizer that speaks HTTP can't judge connections.
func (c *Chosen) unanswerable(s *model.Settings, tcp bool) []*model.Authorization {
	var out []*model.Authorization
	for _, a := range c.acting(model.Custom) {
		if p := provider(s, a); p == nil || tcp && !p.GRPC {
			out = append(out, a)
		}
	}
	return out
}

// provider of a CUSTOM policy; nil when it can't be had.
func provider(s *model.Settings, a *model.Authorization) *model.Provider {
	if a.Invalid != "" {
		return nil
	}
	for i := range s.Providers {
		if s.Providers[i].Name == a.Provider {
			return &s.Providers[i]
		}
	}
	return nil
}

// Authorizers are the clusters of the external authorizers that policies in
// force ask, sorted. Whoever has the filters needs them.
func (c *Chosen) Authorizers(s *model.Settings) []string {
	var out []string
	if c == nil {
		return nil
	}
	for _, a := range c.acting(model.Custom) {
		if p := provider(s, a); p != nil {
			out = append(out, envoy.Outbound(p.Port, p.Host))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (q question) statPrefix() string { return shadowPrefix + q.provider.Name + "_" }

// enabled when the rules before it matched; filter is the RBAC filter's name.
func (q question) enabled(filter string) *matcherv3.MetadataMatcher {
	return inMetadata(filter, &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: prefix(asked)}},
		q.statPrefix()+matchedRule)
}

// nth filter of a name: filters of one chain are told apart by their names.
func nth(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "." + strconv.Itoa(i)
}
