// SPDX-License-Identifier: Apache-2.0

package security

import (
	"net/netip"
	"slices"
	"strings"

	api "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
)

// World is what the oracle knows beside the policies.
type World struct {
	// Own trust domain and its aliases.
	Domains   []string
	Namespace string
	Labels    map[string]string
	Ports     map[string]string
	Callers   map[string]Caller
	Tokens    map[string]Token
	// Doors are the ports of a gateway; nil for a sidecar.
	Doors map[string]Door
	// Gateway and Class are what a gateway's proxy serves of the Gateway API.
	Gateway, Class string
	// Providers are the external authorizers that there are.
	Providers []string
	// Denies are the external authorizers that say no to a call.
	Denies func(provider string, c Call, identity string) bool
}

// Caller of calls: who its certificate says it is (trust domain/ns/namespace/sa/account,
// empty when it says nothing, or there is none), who signed it, and from where
// it calls.
type Caller struct {
	Identity string
	// Signer is "mesh" for identities, unless it says otherwise.
	Signer  string
	Address netip.Addr
}

// SignedBy is empty for a caller without a certificate.
func (c Caller) SignedBy() string {
	if c.Signer == "" && c.Identity != "" {
		return "mesh"
	}
	return c.Signer
}

// Token of a request: its claims, and whether an issuer vouches for it.
type Token struct {
	Valid  bool
	Claims map[string]any
}

// The verdicts. Refused is a connection that isn't taken at all.
const (
	Refused      = 0
	Allowed      = 200
	Unauthorized = 401
	Forbidden    = 403
)

// Verdict on a call, from the text of Istio's reference on AuthorizationPolicy,
// its conditions, RequestAuthentication and PeerAuthentication.
func (w *World) Verdict(s *Scenario, c Call) int {
	caller, taken := w.meet(c)
	if !taken {
		return Refused
	}
	deny := Forbidden
	if c.TCP() {
		deny = Refused
	}
	e := evaluation{World: w, call: c, caller: caller, topology: s.Topology}
	if c.Token != "" && !c.TCP() && w.checked(s) {
		token := w.Tokens[c.Token]
		if !token.Valid {
			return Unauthorized
		}
		e.claims = token.Claims
	}
	// CUSTOM, then DENY, then ALLOW.
	allows, allowed := false, false
	for _, p := range w.applicable(s) {
		if !readable(p) {
			return deny
		}
		if p.Annotations["istio.io/dry-run"] == "true" {
			continue
		}
		e.policy, e.refuses = p, p.Spec.GetAction() != api.AuthorizationPolicy_ALLOW
		matched := slices.ContainsFunc(p.Spec.GetRules(), e.rule)
		switch p.Spec.GetAction() {
		case api.AuthorizationPolicy_CUSTOM:
			// Nobody to ask is a no to all that the policy is for.
			if !slices.Contains(w.Providers, p.Spec.GetProvider().GetName()) || matched && w.Denies(p.Spec.GetProvider().GetName(), c, caller.Identity) {
				return deny
			}
		case api.AuthorizationPolicy_DENY:
			if matched {
				return deny
			}
		case api.AuthorizationPolicy_ALLOW:
			allows, allowed = true, allowed || matched
		}
	}
	if allows && !allowed {
		return deny
	}
	return Allowed
}

// checked is true when tokens are looked at.
func (w *World) checked(s *Scenario) bool {
	return slices.ContainsFunc(s.Authentications, func(a *securityv1.RequestAuthentication) bool {
		return w.applies(a.Namespace, a.Spec.GetSelector().GetMatchLabels(), append(a.Spec.GetTargetRefs(), a.Spec.GetTargetRef())) && len(a.Spec.GetJwtRules()) > 0
	})
}

func (w *World) applicable(s *Scenario) []*securityv1.AuthorizationPolicy {
	var out []*securityv1.AuthorizationPolicy
	for _, p := range s.Authorizations {
		if w.applies(p.Namespace, p.Spec.GetSelector().GetMatchLabels(), append(p.Spec.GetTargetRefs(), p.Spec.GetTargetRef())) {
			out = append(out, p)
		}
	}
	return out
}

// applies by selector, or by the objects that are named: a Gateway of the
// policy's namespace, or a GatewayClass from the root namespace.
func (w *World) applies(namespace string, selector map[string]string, refs []*typeapi.PolicyTargetReference) bool {
	named := false
	for _, ref := range refs {
		switch {
		case ref == nil:
			continue
		case (ref.GetKind() == "Gateway" || !known(ref)) && ref.GetName() == w.Gateway && namespace == w.Namespace,
			ref.GetKind() == "GatewayClass" && ref.GetName() == w.Class && namespace == "istio-system":
			return true
		}
		named = true
	}
	if named && len(selector) == 0 {
		return false
	}
	for k, v := range selector {
		if w.Labels[k] != v {
			return false
		}
	}
	return namespace == w.Namespace || namespace == "istio-system"
}

// readable is false for a policy of which Istio's validation says that it can't
// say what it is for. Where it may have been for this, all is denied.
func readable(p *securityv1.AuthorizationPolicy) bool {
	refs := p.Spec.GetTargetRefs()
	return (len(refs) == 0 || p.Spec.GetSelector() == nil) && !slices.ContainsFunc(refs, func(r *typeapi.PolicyTargetReference) bool { return !known(r) })
}

func known(r *typeapi.PolicyTargetReference) bool {
	return slices.Contains([]string{"gateway.networking.k8s.io/Gateway", "gateway.networking.k8s.io/GatewayClass", "/Service", "networking.istio.io/ServiceEntry"}, r.GetGroup()+"/"+r.GetKind())
}

// evaluation of one call under one policy.
type evaluation struct {
	*World
	call     Call
	caller   Caller
	claims   map[string]any
	policy   *securityv1.AuthorizationPolicy
	topology Topology
	// refuses: the policy denies, or asks, what it matches.
	refuses bool
}

// rule matches when one source, one operation and all conditions do.
func (e *evaluation) rule(r *api.Rule) bool {
	if e.call.TCP() && !e.refuses && aboutRequests(r) {
		return false // such a rule is ignored on TCP
	}
	source := len(r.GetFrom()) == 0
	for _, f := range r.GetFrom() {
		source = source || e.source(f.GetSource())
	}
	operation := len(r.GetTo()) == 0
	for _, t := range r.GetTo() {
		operation = operation || e.operation(t.GetOperation())
	}
	for _, c := range r.GetWhen() {
		if !e.condition(c) {
			return false
		}
	}
	return source && operation
}

// aboutRequests is true when a rule asks what only requests have.
func aboutRequests(r *api.Rule) bool {
	for _, f := range r.GetFrom() {
		if len(f.GetSource().GetRequestPrincipals())+len(f.GetSource().GetNotRequestPrincipals()) > 0 {
			return true
		}
	}
	for _, t := range r.GetTo() {
		o := t.GetOperation()
		if len(o.GetHosts())+len(o.GetNotHosts())+len(o.GetMethods())+len(o.GetNotMethods())+len(o.GetPaths())+len(o.GetNotPaths()) > 0 {
			return true
		}
	}
	return slices.ContainsFunc(r.GetWhen(), func(c *api.Condition) bool { return strings.HasPrefix(c.GetKey(), "request.") })
}

// part of the caller's identity: 0 trust domain, 2 namespace, 4 account.
func (e *evaluation) part(i int) string {
	parts := strings.Split(e.caller.Identity, "/")
	if len(parts) != 5 {
		return ""
	}
	return parts[i]
}

func (e *evaluation) source(s *api.Source) bool {
	return e.peer(s.GetPrincipals(), s.GetNotPrincipals(), e.principal) &&
		e.peer(s.GetNamespaces(), s.GetNotNamespaces(), func(v string) bool { return like(v, e.part(2)) }) &&
		e.peer(s.GetServiceAccounts(), s.GetNotServiceAccounts(), e.account) &&
		e.peer(s.GetTrustDomains(), s.GetNotTrustDomains(), func(v string) bool { return like(v, e.part(0)) }) &&
		matches(s.GetIpBlocks(), s.GetNotIpBlocks(), e.fromBlock) &&
		matches(s.GetRemoteIpBlocks(), s.GetNotRemoteIpBlocks(), e.fromRemoteBlock) &&
		e.ofRequest(s.GetRequestPrincipals(), s.GetNotRequestPrincipals(), e.requestPrincipal)
}

func (e *evaluation) operation(o *api.Operation) bool {
	return matches(o.GetPorts(), o.GetNotPorts(), func(v string) bool { return v == e.Ports[e.call.Port] }) &&
		e.ofRequest(o.GetHosts(), o.GetNotHosts(), func(v string) bool { return like(strings.ToLower(v), strings.ToLower(e.call.Host)) }) &&
		e.ofRequest(o.GetMethods(), o.GetNotMethods(), func(v string) bool { return like(v, e.call.Method) }) &&
		e.ofRequest(o.GetPaths(), o.GetNotPaths(), e.path)
}

// matches one of the values and none of the others.
func matches(in, not []string, like func(string) bool) bool {
	return (len(in) == 0 || slices.ContainsFunc(in, like)) && !slices.ContainsFunc(not, like)
}

// ofRequest leaves out what a connection doesn't have: missing attributes are
// matches in DENY.
func (e *evaluation) ofRequest(in, not []string, like func(string) bool) bool {
	return e.call.TCP() || matches(in, not, like)
}

// peer fields need mutual TLS. Without it, a negation in ALLOW lets nobody in
// (Istio's documents leave it open, and advise STRICT), unless nobody is meant.
func (e *evaluation) peer(in, not []string, like func(string) bool) bool {
	if len(not) > 0 && !e.refuses && e.caller.Identity == "" && !slices.Contains(not, "*") {
		return false
	}
	return matches(in, not, func(v string) bool { return e.caller.Identity != "" && like(v) })
}
