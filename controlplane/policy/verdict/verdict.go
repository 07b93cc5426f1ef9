// SPDX-License-Identifier: Apache-2.0

// Package verdict says what the filters of package policy decide on a call, and
// by which rule, without an Envoy. It reads the filters that proxies get, so
// that what people are told of a policy is what the proxies do. It is pure.
package verdict

import (
	"net/netip"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httpauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	tcpauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Call is what is known of a connection, and of a request on it.
type Call struct {
	// Peer is the verified identity, a SPIFFE ID; empty without mutual TLS.
	Peer string
	// Source of the connection, Remote as trusted proxies tell it; zero for Source.
	Source, Remote netip.Addr
	// Destination that was called.
	Destination netip.AddrPort
	ServerName  string

	Host, Method, Path string
	// Headers by lower-case name.
	Headers map[string][]string
	// Claims of a token that an issuer vouches for; nil without a token.
	Claims map[string]any
	// BadToken: there is a token, and it isn't valid.
	BadToken bool
}

// Verdict on a call.
type Verdict struct {
	Allowed bool
	// Status of the answer when a request isn't allowed; 0 closes the connection.
	Status int
	// Why names the rule that decided, or says that none did.
	Why string
	// Asks are the external authorizers that must agree.
	Asks []string
	// Audits and DryRuns are rules that match and decide nothing.
	Audits, DryRuns []string
}

// Undecided is why a call is allowed that no policy says anything of.
const Undecided = "no policy decides on it"

// HTTP is the verdict of HTTP filters on a request.
func HTTP(filters []*hcmv3.HttpFilter, c Call) Verdict {
	e := evaluation{call: &c}
	for _, f := range filters {
		if !e.filter(f.GetTypedConfig()) {
			break
		}
	}
	return e.end()
}

// TCP is the verdict of network filters on a connection.
func TCP(filters []*listenerv3.Filter, c Call) Verdict {
	e := evaluation{call: &c, tcp: true}
	for _, f := range filters {
		if !e.filter(f.GetTypedConfig()) {
			break
		}
	}
	return e.end()
}

// evaluation is the state of one call on its way through the filters.
type evaluation struct {
	call    *Call
	tcp     bool
	denied  bool
	verdict Verdict
	// matched are the rules that the shadow rules of the last RBAC filter found.
	matched string
	// claims of the token, once a filter has verified it.
	claims map[string]any
}

func (e *evaluation) end() Verdict {
	e.verdict.Allowed = !e.denied
	if e.verdict.Why == "" {
		e.verdict.Why = Undecided
	}
	return e.verdict
}

func (e *evaluation) deny(status int, why string) bool {
	e.denied, e.verdict.Why = true, why
	if !e.tcp {
		e.verdict.Status = status
	}
	return false
}

// filter is false when the call ends there.
func (e *evaluation) filter(config *anypb.Any) bool {
	m, err := config.UnmarshalNew()
	if err != nil {
		return true
	}
	switch f := m.(type) {
	case *jwtv3.JwtAuthentication:
		if e.call.BadToken {
			return e.deny(401, "the token is not valid")
		}
		e.claims = e.call.Claims
	case *httprbacv3.RBAC:
		return e.rbac(f.GetRules(), f.GetShadowRules(), f.GetShadowRulesStatPrefix())
	case *tcprbacv3.RBAC:
		return e.rbac(f.GetRules(), f.GetShadowRules(), f.GetShadowRulesStatPrefix())
	case *httpauthzv3.ExtAuthz:
		e.ask(f.GetGrpcService().GetEnvoyGrpc().GetClusterName() + f.GetHttpService().GetServerUri().GetCluster())
	case *tcpauthzv3.ExtAuthz:
		e.ask(f.GetGrpcService().GetEnvoyGrpc().GetClusterName())
	}
	return true
}

func (e *evaluation) ask(cluster string) {
	if e.matched != "" {
		e.verdict.Asks = append(e.verdict.Asks, cluster+" by "+e.matched)
	}
}

func (e *evaluation) rbac(rules, shadow *rbacv3.RBAC, prefix string) bool {
	e.matched = e.first(shadow)
	if e.matched != "" && strings.HasPrefix(prefix, "istio_dry_run_") {
		e.verdict.DryRuns = append(e.verdict.DryRuns, e.matched)
	}
	if rules == nil {
		return true
	}
	rule := e.first(rules)
	switch {
	case rules.GetAction() == rbacv3.RBAC_LOG:
		if rule != "" {
			e.verdict.Audits = append(e.verdict.Audits, rule)
		}
	case rules.GetAction() == rbacv3.RBAC_DENY && rule != "":
		return e.deny(403, "denied by "+rule)
	case rules.GetAction() == rbacv3.RBAC_ALLOW && rule == "":
		return e.deny(403, "no ALLOW policy matches")
	case rules.GetAction() == rbacv3.RBAC_ALLOW:
		e.verdict.Why = "allowed by " + rule
	}
	return true
}

// first rule that matches, by name; empty when none does.
func (e *evaluation) first(rules *rbacv3.RBAC) string {
	var names []string
	for name, p := range rules.GetPolicies() {
		if slices.ContainsFunc(p.GetPermissions(), e.permission) && slices.ContainsFunc(p.GetPrincipals(), e.principal) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}
