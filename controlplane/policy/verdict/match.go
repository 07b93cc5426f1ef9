// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	mtlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/rbac/principals/mtls_authenticated/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// permission and principal match as Envoy does. What this package doesn't know
// never matches.
func (e *evaluation) permission(p *rbacv3.Permission) bool {
	switch rule := p.GetRule().(type) {
	case *rbacv3.Permission_Any:
		return rule.Any
	case *rbacv3.Permission_AndRules:
		return every(rule.AndRules.GetRules(), e.permission)
	case *rbacv3.Permission_OrRules:
		return slices.ContainsFunc(rule.OrRules.GetRules(), e.permission)
	case *rbacv3.Permission_NotRule:
		return !e.permission(rule.NotRule)
	case *rbacv3.Permission_Header:
		return e.header(rule.Header)
	case *rbacv3.Permission_UrlPath:
		path, _, _ := strings.Cut(e.call.Path, "?")
		return !e.tcp && Text(rule.UrlPath.GetPath(), path)
	case *rbacv3.Permission_DestinationIp:
		return inside(rule.DestinationIp, e.call.Destination.Addr())
	case *rbacv3.Permission_DestinationPort:
		return rule.DestinationPort == uint32(e.call.Destination.Port())
	case *rbacv3.Permission_RequestedServerName:
		return Text(rule.RequestedServerName, e.call.ServerName)
	}
	return false
}

func (e *evaluation) principal(p *rbacv3.Principal) bool {
	switch id := p.GetIdentifier().(type) {
	case *rbacv3.Principal_Any:
		return id.Any
	case *rbacv3.Principal_AndIds:
		return every(id.AndIds.GetIds(), e.principal)
	case *rbacv3.Principal_OrIds:
		return slices.ContainsFunc(id.OrIds.GetIds(), e.principal)
	case *rbacv3.Principal_NotId:
		return !e.principal(id.NotId)
	case *rbacv3.Principal_Header:
		return e.header(id.Header)
	case *rbacv3.Principal_DirectRemoteIp:
		return inside(id.DirectRemoteIp, e.call.Source)
	case *rbacv3.Principal_RemoteIp:
		if e.call.Remote.IsValid() {
			return inside(id.RemoteIp, e.call.Remote)
		}
		return inside(id.RemoteIp, e.call.Source)
	case *rbacv3.Principal_SourcedMetadata:
		return e.metadata(id.SourcedMetadata.GetMetadataMatcher())
	case *rbacv3.Principal_Custom:
		var config mtlsv3.Config
		if id.Custom.GetTypedConfig().UnmarshalTo(&config) != nil || e.call.Peer == "" {
			return false
		}
		return config.GetSanMatcher() == nil || Text(config.GetSanMatcher().GetMatcher(), e.call.Peer)
	}
	return false
}

func every[T any](all []T, match func(T) bool) bool {
	return !slices.ContainsFunc(all, func(v T) bool { return !match(v) })
}

func (e *evaluation) header(h *routev3.HeaderMatcher) bool {
	if e.tcp {
		return false
	}
	var values []string
	switch h.GetName() {
	case ":authority":
		values = []string{e.call.Host}
	case ":method":
		values = []string{e.call.Method}
	case ":path":
		values = []string{e.call.Path}
	default:
		values = e.call.Headers[h.GetName()]
	}
	return slices.ContainsFunc(values, func(v string) bool { return Text(h.GetStringMatch(), v) })
}

// metadata of a token; that of other filters is not known.
func (e *evaluation) metadata(m *matcherv3.MetadataMatcher) bool {
	path := m.GetPath()
	if m.GetFilter() != "envoy.filters.http.jwt_authn" || len(path) < 2 || e.claims == nil {
		return false
	}
	var at any = e.claims
	for i, segment := range path[1:] {
		object, _ := at.(map[string]any)
		at = object[segment.GetKey()]
		if s, ok := at.(string); ok && i == 0 && (segment.GetKey() == "scope" || segment.GetKey() == "permission") {
			var list []any
			for _, word := range strings.Fields(s) {
				list = append(list, word)
			}
			at = list
		}
	}
	return value(m.GetValue(), at)
}

func value(m *matcherv3.ValueMatcher, v any) bool {
	switch match := m.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_StringMatch:
		s, ok := v.(string)
		return ok && Text(match.StringMatch, s)
	case *matcherv3.ValueMatcher_ListMatch:
		list, _ := v.([]any)
		return slices.ContainsFunc(list, func(entry any) bool { return value(match.ListMatch.GetOneOf(), entry) })
	}
	return false
}

// Text is true when a matcher matches a string as Envoy does.
func Text(m *matcherv3.StringMatcher, s string) bool {
	fold := func(v string) string {
		if m.GetIgnoreCase() {
			return strings.ToLower(v)
		}
		return v
	}
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return fold(s) == fold(p.Exact)
	case *matcherv3.StringMatcher_Prefix:
		return strings.HasPrefix(fold(s), fold(p.Prefix))
	case *matcherv3.StringMatcher_Suffix:
		return strings.HasSuffix(fold(s), fold(p.Suffix))
	case *matcherv3.StringMatcher_Contains:
		return strings.Contains(fold(s), fold(p.Contains))
	case *matcherv3.StringMatcher_SafeRegex:
		re, err := regexp.Compile("^(?:" + p.SafeRegex.GetRegex() + ")$")
		return err == nil && re.MatchString(s)
	}
	return false
}

func inside(c *corev3.CidrRange, a netip.Addr) bool {
	base, err := netip.ParseAddr(c.GetAddressPrefix())
	if err != nil || !a.IsValid() {
		return false
	}
	p, err := base.Prefix(int(c.GetPrefixLen().GetValue()))
	return err == nil && p.Contains(a.Unmap())
}
