// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	// jwtFilter writes the payload of a verified token to dynamic metadata under payload.
	jwtFilter = "envoy.filters.http.jwt_authn"
	payload   = "payload"
)

// claim matches a claim of the verified token, or one entry of it when it is a list.
func claim(m *matcherv3.StringMatcher, path ...string) *principal {
	value := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: m}}
	in := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{
		MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: value},
	}}}
	at := append([]string{payload}, path...)
	return onePrincipal(metadata(jwtFilter, value, at...), metadata(jwtFilter, in, at...))
}

// only matches a claim that is a string.
func only(m *matcherv3.StringMatcher, name string) *principal {
	return metadata(jwtFilter, &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: m}}, payload, name)
}

func metadata(filter string, value *matcherv3.ValueMatcher, path ...string) *principal {
	return &principal{Identifier: &rbacv3.Principal_SourcedMetadata{SourcedMetadata: &rbacv3.SourcedMetadata{
		MetadataMatcher: inMetadata(filter, value, path...),
	}}}
}

func inMetadata(filter string, value *matcherv3.ValueMatcher, path ...string) *matcherv3.MetadataMatcher {
	m := &matcherv3.MetadataMatcher{Filter: filter, Value: value}
	for _, key := range path {
		m.Path = append(m.Path, &matcherv3.MetadataMatcher_PathSegment{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: key}})
	}
	return m
}

// requestPrincipal matches <issuer>/<subject>. Envoy holds the two apart, and
// both may hold slashes, so the value is cut at each of its slashes.
func requestPrincipal(value string) *principal {
	t := parse(value)
	both := func(issuer, subject *matcherv3.StringMatcher) *principal {
		return allPrincipals(only(issuer, "iss"), only(subject, "sub"))
	}
	var ways []*principal
	switch t.kind {
	case model.MatchPresent:
		return both(present(), present())
	case model.MatchPrefix:
		ways = append(ways, both(text{model.MatchPrefix, t.value}.matcher(false), present()))
	case model.MatchSuffix:
		ways = append(ways, both(present(), text{model.MatchSuffix, t.value}.matcher(false)))
	}
	for i := 0; i < len(t.value); i++ {
		if t.value[i] != '/' {
			continue
		}
		issuer, subject := t.value[:i], t.value[i+1:]
		switch {
		case t.kind == model.MatchPrefix && issuer != "":
			ways = append(ways, both(exact(issuer), text{model.MatchPrefix, subject}.matcher(false)))
		case t.kind == model.MatchSuffix && subject != "":
			ways = append(ways, both(text{model.MatchSuffix, issuer}.matcher(false), exact(subject)))
		case t.kind == model.MatchExact && issuer != "" && subject != "":
			ways = append(ways, both(exact(issuer), exact(subject)))
		}
	}
	return onePrincipal(ways...)
}

// experimental looks into the dynamic metadata of another filter. A value in
// brackets is looked for in a list.
func experimental(filter, key, value string) *principal {
	inner, list := strings.CutPrefix(value, "[")
	if list = list && strings.HasSuffix(inner, "]"); list {
		value = strings.TrimSuffix(inner, "]")
	}
	m := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: parse(value).matcher(false)}}
	if list {
		m = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{
			MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: m},
		}}}
	}
	return metadata(filter, m, key)
}
