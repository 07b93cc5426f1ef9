// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	mtlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/rbac/principals/mtls_authenticated/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	spiffe = "spiffe://"
	// ownDomain means the member's own trust domain, whatever that is called.
	ownDomain = "cluster.local"
	// segment is one part of a SPIFFE ID, part what a wildcard covers of it.
	segment, part = "[^/]+", "[^/]*"
)

// san matches an identity in the client's certificate, which must have been
// verified. Only URI names count: no name constraint of a member's CA covers
// DNS names and subjects, so Envoy's older matcher, which looks at them too,
// could be told anything.
func san(m *matcherv3.StringMatcher) *principal {
	return &principal{Identifier: &rbacv3.Principal_Custom{Custom: &corev3.TypedExtensionConfig{
		Name: "envoy.rbac.principals.mtls_authenticated",
		TypedConfig: envoy.Any(&mtlsv3.Config{SanMatcher: &tlsv3.SubjectAltNameMatcher{
			SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: m,
		}}),
	}}}
}

// nobody never matches.
func nobody() *principal { return notPrincipal(anyPrincipal()) }

// identified is every caller that showed who it is.
func identified() *principal { return san(prefix(spiffe)) }

// identity matches one value of principals: <trust domain>/ns/<namespace>/sa/<account>.
func (r reading) identity(value string) *principal {
	t := parse(value)
	switch t.kind {
	case model.MatchPresent:
		return identified()
	case model.MatchSuffix:
		if strings.Count(t.value, "/") > 4 {
			return nobody() // more parts than an identity has
		}
		return san(suffix(t.value))
	}
	var ids []*principal
	for _, v := range r.domains(t.value) {
		if t.kind == model.MatchPrefix {
			ids = append(ids, san(prefix(spiffe+v)))
		} else {
			ids = append(ids, san(exact(spiffe+v)))
		}
	}
	return onePrincipal(ids...)
}

// domains spells a principal out for each of the names of its trust domain. One
// without a trust domain, or of cluster.local, is the member's own.
func (r reading) domains(value string) []string {
	rest, own := strings.CutPrefix(value, "/")
	if !own && strings.HasPrefix(value, "ns/") && !strings.HasPrefix(value, "ns/ns/") {
		rest, own = value, true
	}
	mine := append([]string{r.settings.TrustDomain}, r.settings.TrustDomainAliases...)
	if !own {
		var domain string
		if domain, rest, own = strings.Cut(value, "/"); own {
			own = domain == ownDomain || slices.Contains(mine, domain)
		}
	}
	if !own {
		return []string{value}
	}
	out := make([]string, len(mine))
	for i, domain := range mine {
		out[i] = domain + "/" + rest
	}
	return out
}

// namespace matches the namespace of an identity, of whatever trust domain.
func namespace(value string) *principal {
	return san(expression(spiffe + segment + "/ns/" + parse(value).pattern(part) + "/sa/" + segment))
}

// serviceAccount matches <namespace>/<name>, of whatever trust domain.
func serviceAccount(value string) *principal {
	ns, name, ok := strings.Cut(value, "/")
	if !ok || ns == "" || name == "" || strings.ContainsAny(name, "/") {
		return nobody()
	}
	return san(suffix("/ns/" + ns + "/sa/" + name))
}

// trustDomain matches the trust domain of an identity.
func trustDomain(value string) *principal {
	t := parse(value)
	if strings.Contains(t.value, "/") {
		return nobody()
	}
	switch t.kind {
	case model.MatchPresent:
		return identified()
	case model.MatchPrefix:
		return san(prefix(spiffe + t.value))
	case model.MatchSuffix:
		return san(expression(spiffe + t.pattern(part) + "/.*"))
	}
	return san(prefix(spiffe + t.value + "/"))
}
