// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	mtlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/rbac/principals/mtls_authenticated/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// defence by name, as replays name it; nil when there is none.
func (w *world) defence(name string) breach {
	switch name {
	case "key-for-nobody":
		return on(func(p *jwtv3.JwtProvider) bool { return w.fallbackKey(p) })
	case "client-certificate":
		if w.gate != nil {
			return on(anyClient)
		}
		return on(plaintextToo)
	}
	return map[string]breach{
		"each-value":        on(oneValue),
		"escaping":          on(unescaped),
		"forms-of-hosts":    on(oneForm),
		"fresh-sessions":    on(resume),
		"header-removal":    on(keepHeaders),
		"host-case":         on(caseMatters),
		"identity-needed":   on(unidentified),
		"kind-of-names":     on(otherNames),
		"listed-issuers":    on(anyIssuer),
		"nobody-internal":   on(privateInternal),
		"normalization":     on(rawPaths),
		"path-alone":        on(pathWithQuery),
		"server-names":      on(anyServerName),
		"suffixes":          on(literalSuffix),
		"uri-names-only":    on(olderMatcher),
		"whole-names":       on(partOfNames),
		"whose-certificate": on(forwardedCertificate),
	}[name]
}

// on messages of one type.
func on[T proto.Message](change func(T) bool) breach {
	return func(m proto.Message) bool {
		t, ok := m.(T)
		return ok && change(t)
	}
}

// rawPaths: policies and routes see a path as the client wrote it.
func rawPaths(m *hcmv3.HttpConnectionManager) bool {
	was := m.GetNormalizePath().GetValue() || m.GetMergeSlashes()
	m.NormalizePath, m.MergeSlashes = wrapperspb.Bool(false), false
	m.PathWithEscapedSlashesAction = hcmv3.HttpConnectionManager_KEEP_UNCHANGED
	return was
}

// forwardedCertificate: what the client says of a certificate is believed.
func forwardedCertificate(m *hcmv3.HttpConnectionManager) bool {
	m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY
	return true
}

// privateInternal: clients with private addresses are trusted.
func privateInternal(m *hcmv3.HttpConnectionManager) bool {
	m.InternalAddressConfig = &hcmv3.HttpConnectionManager_InternalAddressConfig{CidrRanges: []*corev3.CidrRange{{AddressPrefix: "10.0.0.0", PrefixLen: wrapperspb.UInt32(8)}}}
	return true
}

// keepHeaders that only proxies of the mesh may send.
func keepHeaders(r *routev3.RouteConfiguration) bool {
	was := len(r.GetRequestHeadersToRemove()) > 0
	r.RequestHeadersToRemove = nil
	return was
}

// pathWithQuery: a path is compared with all that stands behind it.
func pathWithQuery(p *rbacv3.Permission) bool {
	if p.GetUrlPath() == nil {
		return false
	}
	p.Rule = &rbacv3.Permission_Header{Header: &routev3.HeaderMatcher{
		Name: ":path", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: p.GetUrlPath().GetPath()},
	}}
	return true
}

// What the expressions for headers and hosts have beside the value.
const (
	inList1, inList2 = `(?s)(?:.*,)?[ \t]*`, `[ \t]*(?:,.*)?`
	anyForm          = `\.?(?::[0-9]*)?`
)

// oneValue: the value of a header is all of it, or none.
func oneValue(h *routev3.HeaderMatcher) bool {
	return replaced(h, inList1, "") && replaced(h, inList2, "")
}

// oneForm: a host with a port or a trailing dot is another one.
func oneForm(h *routev3.HeaderMatcher) bool { return replaced(h, anyForm, "") }

// caseMatters in hosts.
func caseMatters(h *routev3.HeaderMatcher) bool {
	m := h.GetStringMatch()
	if h.GetName() != ":authority" || m == nil {
		return false
	}
	was := m.GetIgnoreCase()
	m.IgnoreCase = false
	return replaced(h, "(?is)", "(?s)") || was
}

func replaced(h *routev3.HeaderMatcher, old, with string) bool {
	re := h.GetStringMatch().GetSafeRegex()
	if re == nil || !strings.Contains(re.GetRegex(), old) {
		return false
	}
	re.Regex = strings.Replace(re.GetRegex(), old, with, 1)
	return true
}

// literalSuffix: what a suffix is written like is compared as a whole.
func literalSuffix(c *mtlsv3.Config) bool {
	s, ok := c.GetSanMatcher().GetMatcher().GetMatchPattern().(*matcherv3.StringMatcher_Suffix)
	if ok {
		c.SanMatcher.Matcher.MatchPattern = &matcherv3.StringMatcher_Exact{Exact: "*" + s.Suffix}
	}
	return ok
}

// unescaped: names become regular expressions as they are.
func unescaped(c *mtlsv3.Config) bool {
	re := ""
	switch p := c.GetSanMatcher().GetMatcher().GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		re = p.Exact
	case *matcherv3.StringMatcher_Prefix:
		re = p.Prefix + ".*"
	case *matcherv3.StringMatcher_Suffix:
		re = ".*" + p.Suffix
	default:
		return false
	}
	c.SanMatcher.Matcher.MatchPattern = &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: re}}
	return true
}

// partOfNames: a name need only hold the identity.
func partOfNames(c *mtlsv3.Config) bool {
	p, ok := c.GetSanMatcher().GetMatcher().GetMatchPattern().(*matcherv3.StringMatcher_Exact)
	if ok {
		c.SanMatcher.Matcher.MatchPattern = &matcherv3.StringMatcher_Contains{Contains: p.Exact}
	}
	return ok
}

// otherNames: an identity is looked for in names of any kind but URIs.
func otherNames(c *mtlsv3.Config) bool {
	if c.GetSanMatcher() == nil {
		return false
	}
	c.SanMatcher.SanType, c.SanMatcher.Oid = tlsv3.SubjectAltNameMatcher_OTHER_NAME, userPrincipalName
	return true
}

// olderMatcher of Envoy looks at DNS names and the subject too.
func olderMatcher(p *rbacv3.Principal) bool {
	var config mtlsv3.Config
	if p.GetCustom().GetTypedConfig().UnmarshalTo(&config) != nil || config.GetSanMatcher() == nil {
		return false
	}
	p.Identifier = &rbacv3.Principal_Authenticated_{Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: config.GetSanMatcher().GetMatcher()}}
	return true
}

// unidentified: who has no identity is let in for not being somebody else.
func unidentified(p *rbacv3.Principal) bool {
	all := p.GetAndIds()
	rest := slices.DeleteFunc(slices.Clone(all.GetIds()), func(id *rbacv3.Principal) bool {
		var config mtlsv3.Config
		return id.GetCustom().GetTypedConfig().UnmarshalTo(&config) == nil && config.GetSanMatcher().GetMatcher().GetPrefix() == "spiffe://"
	})
	if len(rest) == len(all.GetIds()) || len(rest) == 0 {
		return false
	}
	all.Ids = rest
	return true
}

// anyIssuer: a token that nobody vouches for is as good as none.
func anyIssuer(r *jwtv3.JwtRequirement) bool {
	if r.GetAllowMissing() == nil {
		return false
	}
	r.RequiresType = &jwtv3.JwtRequirement_AllowMissingOrFailed{AllowMissingOrFailed: &emptypb.Empty{}}
	return true
}

// fallbackKey: where keys can't be had, somebody has the one that is taken instead.
func (w *world) fallbackKey(p *jwtv3.JwtProvider) bool {
	if p.GetLocalJwks().GetInlineString() != policy.NoKey {
		return false
	}
	p.JwksSourceSpecifier = &jwtv3.JwtProvider_LocalJwks{LocalJwks: &corev3.DataSource{
		Specifier: &corev3.DataSource_InlineString{InlineString: w.issuer.jwks(w.t)},
	}}
	return true
}

// resume sessions without verifying anew.
func resume(c *tlsv3.DownstreamTlsContext) bool {
	was := c.GetDisableStatelessSessionResumption()
	c.SessionTicketKeysType, c.DisableStatefulSessionResumption = nil, false
	return was
}

// plaintextToo: the strict ports of a sidecar take plaintext, and of TLS only what is the mesh's by its protocol.
func plaintextToo(c *listenerv3.FilterChain) bool {
	port := c.GetFilterChainMatch().GetDestinationPort().GetValue()
	if port != 8080 && port != 7070 || len(c.GetFilterChainMatch().GetApplicationProtocols()) > 0 {
		return false
	}
	c.TransportSocket = nil
	c.FilterChainMatch = &listenerv3.FilterChainMatch{DestinationPort: c.GetFilterChainMatch().GetDestinationPort()}
	return true
}

// anyClient: a gateway's ports take clients that show no certificate.
func anyClient(c *tlsv3.DownstreamTlsContext) bool {
	was := c.GetRequireClientCertificate().GetValue()
	c.RequireClientCertificate = wrapperspb.Bool(false)
	if v := c.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext(); v != nil {
		v.MatchTypedSubjectAltNames = nil // who must be somebody must show it
	}
	return was
}

// anyServerName: a port between networks takes whatever comes for the first of
// its services, TLS or not.
func anyServerName(l *listenerv3.Listener) bool {
	if l.GetAddress().GetSocketAddress().GetPortValue() != 15443 || len(l.GetFilterChains()) == 0 {
		return false
	}
	l.FilterChains = l.GetFilterChains()[:1]
	l.FilterChains[0].FilterChainMatch = nil
	return true
}
