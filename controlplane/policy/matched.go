// SPDX-License-Identifier: Apache-2.0

package policy

import (
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Matched is a filter that refuses nothing: for requests that a rule matches it
// leaves id in the dynamic metadata of Envoy's RBAC filter, under the key that it returns.
// prefix begins that key, and tells filters of one chain apart. A rule that can't be judged matches.
func Matched(s *model.Settings, prefix, id string, rule *model.AuthorizationRule) (filter *httprbacv3.RBAC, metadata, key string) {
	when := &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW, Policies: map[string]*rbacv3.Policy{}}
	if p, ok := (reading{settings: s, refuses: true}).rule(rule); ok {
		when.Policies[id] = p
	}
	return &httprbacv3.RBAC{ShadowRules: when, ShadowRulesStatPrefix: prefix}, httpRBAC, prefix + matchedRule
}

// Claims is where the filter that verifies tokens leaves their claims: the namespace
// of dynamic metadata, and the path in it.
func Claims(path ...string) (metadata string, at []string) {
	return jwtFilter, append([]string{payload}, path...)
}
