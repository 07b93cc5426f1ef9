// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// rules of a policy, by the names that access logs show. An ALLOW rule that can
// never match is left out.
func (r reading) rules(a *model.Authorization, into map[string]*rbacv3.Policy) {
	if a.Invalid != "" {
		if r.refuses {
			into[ruleName(a, 0)] = everything()
		}
		return
	}
	for i := range a.Rules {
		if p, ok := r.rule(&a.Rules[i]); ok {
			into[ruleName(a, i)] = p
		}
	}
}

func ruleName(a *model.Authorization, rule int) string {
	return fmt.Sprintf("ns[%s]-policy[%s]-rule[%d]", a.Namespace, a.Name, rule)
}

func everything() *rbacv3.Policy {
	return &rbacv3.Policy{Permissions: []*permission{anyPermission()}, Principals: []*principal{anyPrincipal()}}
}

// rule is false when it never matches. On a connection the parts about requests
// can't be known: in ALLOW such a rule never matches; elsewhere those parts are
// left out, so that it matches more.
func (r reading) rule(rule *model.AuthorizationRule) (*rbacv3.Policy, bool) {
	var can []*permission
	var who []*principal
	if len(rule.From) > 0 {
		var ways []*principal
		for i := range rule.From {
			held, ok := r.source(&rule.From[i])
			if !ok {
				return nil, false
			}
			ways = append(ways, allPrincipals(held...))
		}
		who = append(who, onePrincipal(ways...))
	}
	if len(rule.To) > 0 {
		var ways []*permission
		for i := range rule.To {
			held, ok := r.operation(&rule.To[i])
			if !ok {
				return nil, false
			}
			ways = append(ways, allPermissions(held...))
		}
		can = append(can, onePermission(ways...))
	}
	for i := range rule.When {
		p, q, ok := r.condition(&rule.When[i])
		if !ok {
			return nil, false
		}
		can, who = append(can, p...), append(who, q...)
	}
	return &rbacv3.Policy{
		Permissions: []*permission{allPermissions(can...)},
		Principals:  []*principal{allPrincipals(who...)},
	}, true
}

// blind is true when values are about requests and there are only connections.
func (r reading) blind(v model.Values) bool { return r.tcp && !v.Empty() }

func (r reading) source(s *model.Source) ([]*principal, bool) {
	var held []*principal
	held = append(held, r.identities(s.Principals, r.identity)...)
	held = append(held, r.identities(s.Namespaces, namespace)...)
	held = append(held, r.identities(s.ServiceAccounts, serviceAccount)...)
	held = append(held, r.identities(s.TrustDomains, trustDomain)...)
	held = append(held, principals.values(r, s.IPBlocks, certain(sourceIP))...)
	held = append(held, principals.values(r, s.RemoteIPBlocks, certain(remoteIP))...)
	switch {
	case !r.blind(s.RequestPrincipals):
		held = append(held, principals.values(r, s.RequestPrincipals, always(requestPrincipal))...)
	case !r.refuses:
		return nil, false
	}
	return held, true
}

func (r reading) operation(o *model.Operation) ([]*permission, bool) {
	held := permissions.values(r, o.Ports, certain(destinationPort))
	for _, field := range []struct {
		model.Values
		match matching[*permission]
	}{
		{o.Hosts, func(v string, wide bool) (*permission, bool) { return host(v, wide), true }},
		{o.Methods, always(method)},
		{o.Paths, always(path)},
	} {
		switch {
		case !r.blind(field.Values):
			held = append(held, permissions.values(r, field.Values, field.match)...)
		case !r.refuses:
			return nil, false
		}
	}
	return held, true
}

// experimentalPrefix begins the keys of other filters' metadata.
const experimentalPrefix = "experimental."

func (r reading) condition(c *model.Condition) ([]*permission, []*principal, bool) {
	name, path, ok := c.Attribute()
	if ok && strings.HasPrefix(name, "request.") && r.blind(c.Values) {
		return nil, nil, r.refuses
	}
	who := func(p []*principal) ([]*permission, []*principal, bool) { return nil, p, true }
	can := func(p []*permission) ([]*permission, []*principal, bool) { return p, nil, true }
	switch {
	case !ok:
	case name == "request.headers" && len(path) == 1:
		return who(principals.values(r, c.Values, func(v string, wide bool) (*principal, bool) { return requestHeader(path[0], v, wide), true }))
	case name == "request.auth.principal":
		return who(principals.values(r, c.Values, always(requestPrincipal)))
	case name == "request.auth.audiences":
		return who(r.claims(c.Values, "aud"))
	case name == "request.auth.presenter":
		return who(r.claims(c.Values, "azp"))
	case name == "request.auth.claims" && len(path) > 0:
		return who(r.claims(c.Values, path...))
	case name == "source.ip":
		return who(principals.values(r, c.Values, certain(sourceIP)))
	case name == "remote.ip":
		return who(principals.values(r, c.Values, certain(remoteIP)))
	case name == "source.namespace":
		return who(r.identities(c.Values, namespace))
	case name == "source.principal":
		return who(r.identities(c.Values, r.identity))
	case name == "source.serviceAccount":
		return who(r.identities(c.Values, serviceAccount))
	case name == "source.trustDomain":
		return who(r.identities(c.Values, trustDomain))
	case name == "destination.ip":
		return can(permissions.values(r, c.Values, certain(destinationIP)))
	case name == "destination.port":
		return can(permissions.values(r, c.Values, certain(destinationPort)))
	case name == "connection.sni":
		return can(permissions.values(r, c.Values, always(serverName)))
	case strings.HasPrefix(name, experimentalPrefix) && len(path) == 1:
		filter := strings.TrimPrefix(name, experimentalPrefix)
		return who(principals.values(r, c.Values, always(func(v string) *principal { return experimental(filter, path[0], v) })))
	}
	return nil, nil, r.refuses
}

func (r reading) claims(v model.Values, path ...string) []*principal {
	return principals.values(r, v, always(func(value string) *principal { return claim(parse(value).matcher(false), path...) }))
}
