// SPDX-License-Identifier: Apache-2.0

package policy

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	rbacnetv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Names of the filters, and what their statistics begin with (Istio's).
const (
	httpRBAC   = "envoy.filters.http.rbac"
	tcpRBAC    = "envoy.filters.network.rbac"
	statPrefix = "tcp."

	dryRunAllow = "istio_dry_run_allow_"
	dryRunDeny  = "istio_dry_run_deny_"
	audited     = "istio_audit_"
)

// HTTP filters that decide on requests, whole, in Istio's order: tokens, CUSTOM,
// AUDIT, DENY, ALLOW. They go before all filters that act on a request.
func HTTP(s *model.Settings, c *Chosen) []*hcmv3.HttpFilter {
	if c == nil || c.Empty() {
		return nil
	}
	return httpFilters(c.made.parts(s, c).http)
}

// TCP filters that decide on connections, whole, in the same order.
func TCP(s *model.Settings, c *Chosen) []*listenerv3.Filter {
	if c == nil || c.Empty() {
		return nil
	}
	return tcpFilters(c.made.parts(s, c).tcp)
}

// piece is one filter.
type piece struct {
	name   string
	config *anypb.Any
	// slot tells the RBAC filters of a proxy apart; empty for other filters.
	slot string
	// idle: it decides nothing and tells nothing.
	idle bool
}

func httpFilters(parts []piece) []*hcmv3.HttpFilter {
	var out []*hcmv3.HttpFilter
	for _, p := range parts {
		if !p.idle {
			out = append(out, &hcmv3.HttpFilter{Name: p.name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: p.config}})
		}
	}
	return out
}

func tcpFilters(parts []piece) []*listenerv3.Filter {
	var out []*listenerv3.Filter
	for _, p := range parts {
		if !p.idle {
			out = append(out, &listenerv3.Filter{Name: p.name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: p.config}})
		}
	}
	return out
}

// http parts; those of DENY and ALLOW are there in any case.
func (c *Chosen) http(s *model.Settings) []piece {
	var out []piece
	add := func(name, slot string, idle bool, m proto.Message) {
		out = append(out, piece{name: name, config: envoy.Any(m), slot: slot, idle: idle})
	}
	if m := tokens(c.Authentications); m != nil {
		add(jwtFilter, "", false, m)
	}
	for i, q := range c.questions(s, false) {
		add(httpRBAC, askSlot+q.provider.Name, false, &httprbacv3.RBAC{ShadowRules: q.when, ShadowRulesStatPrefix: q.statPrefix()})
		add(nth(httpExtAuthz, i), "", false, q.http())
	}
	for _, d := range c.decisions(s, false) {
		add(httpRBAC, d.slot, d.idle(), &httprbacv3.RBAC{Rules: d.rules, ShadowRules: d.tried, ShadowRulesStatPrefix: d.triedPrefix})
	}
	return out
}

func (c *Chosen) tcp(s *model.Settings) []piece {
	var out []piece
	add := func(name, slot string, m proto.Message) {
		out = append(out, piece{name: name, config: envoy.Any(m), slot: slot})
	}
	for i, q := range c.questions(s, true) {
		add(tcpRBAC, askSlot+q.provider.Name, &rbacnetv3.RBAC{StatPrefix: statPrefix, ShadowRules: q.when, ShadowRulesStatPrefix: q.statPrefix()})
		add(nth(tcpExtAuthz, i), "", q.tcp())
	}
	for _, d := range c.decisions(s, true) {
		if !d.idle() {
			add(tcpRBAC, d.slot, &rbacnetv3.RBAC{StatPrefix: statPrefix, Rules: d.rules, ShadowRules: d.tried, ShadowRulesStatPrefix: d.triedPrefix})
		}
	}
	return out
}

// decision is one RBAC filter: what it enforces, and what it only tells of.
type decision struct {
	slot         string
	rules, tried *rbacv3.RBAC
	triedPrefix  string
}

func (d decision) idle() bool { return d.rules == nil && d.tried == nil }

// decisions of all actions but CUSTOM.
func (c *Chosen) decisions(s *model.Settings, tcp bool) []decision {
	wide, narrow := reading{settings: s, tcp: tcp, refuses: true}, reading{settings: s, tcp: tcp}
	var out []decision
	if audit := wide.filter(rbacv3.RBAC_LOG, c.acting(model.Audit)); audit != nil && len(audit.Policies) > 0 {
		// Action LOG leaves a hint for access loggers and nothing else; the same rules
		// in the shadow count, and leave the name of the one that matched.
		out = append(out, decision{
			slot: auditSlot, rules: audit, tried: &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW, Policies: audit.Policies}, triedPrefix: audited,
		})
	}
	deny := decision{
		slot:  denySlot,
		rules: wide.filter(rbacv3.RBAC_DENY, append(c.acting(model.Deny), c.unanswerable(s, tcp)...)),
		tried: wide.filter(rbacv3.RBAC_DENY, c.trying(model.Deny)), triedPrefix: dryRunDeny,
	}
	// A DENY without rules denies nothing; an ALLOW without rules allows nothing.
	if deny.rules != nil && len(deny.rules.Policies) == 0 {
		deny.rules = nil
	}
	allow := decision{
		slot:  allowSlot,
		rules: narrow.filter(rbacv3.RBAC_ALLOW, c.acting(model.Allow)),
		tried: narrow.filter(rbacv3.RBAC_ALLOW, c.trying(model.Allow)), triedPrefix: dryRunAllow,
	}
	for _, d := range []decision{deny, allow} {
		if d.tried == nil {
			d.triedPrefix = ""
		}
		out = append(out, d)
	}
	return out
}

// filter of one action; nil when there are no policies.
func (r reading) filter(action rbacv3.RBAC_Action, policies []*model.Authorization) *rbacv3.RBAC {
	if len(policies) == 0 {
		return nil
	}
	out := &rbacv3.RBAC{Action: action, Policies: map[string]*rbacv3.Policy{}}
	for _, a := range policies {
		if action == rbacv3.RBAC_LOG && a.Invalid != "" {
			continue
		}
		r.rules(a, out.Policies)
	}
	return out
}
