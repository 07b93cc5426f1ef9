// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// claimPrefix begins "headers" that are claims of the request's token (Istio):
// @request.auth.claims.a.b or @request.auth.claims[a][b].
const claimPrefix = "@request.auth.claims"

// claim to match, as package policy leaves a verified token's payload in
// metadata. ok is false when it can't be expressed, and there is a problem.
func (r rule) claim(field string, want model.NamedMatch) (*matcherv3.MetadataMatcher, bool) {
	path := claimPath(strings.TrimPrefix(want.Name, claimPrefix))
	if path == nil {
		r.tell(field, "InvalidHeader", fmt.Sprintf("%q names no claim: write @request.auth.claims.name or @request.auth.claims[name][inner]", want.Name))
		return nil, false
	}
	m := &matcherv3.MetadataMatcher{Filter: "envoy.filters.http.jwt_authn", Invert: want.Not}
	for _, key := range append([]string{"payload"}, path...) {
		m.Path = append(m.Path, &matcherv3.MetadataMatcher_PathSegment{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: key}})
	}
	if want.Kind == model.MatchAny || anything(want.Match) {
		m.Value = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}}
		return m, true
	}
	text, ok := r.text(field, want.Match)
	if !ok {
		return nil, false
	}
	// A claim is a string, or a list that holds it.
	one := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: text}}
	list := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{
		MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: one},
	}}}
	m.Value = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_OrMatch{OrMatch: &matcherv3.OrMatcher{
		ValueMatchers: []*matcherv3.ValueMatcher{one, list},
	}}}
	return m, true
}

// claimPath of what follows the prefix; nil when it is malformed.
func claimPath(rest string) []string {
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		parts := strings.Split(inner, "][")
		for _, p := range parts {
			if !ok || p == "" || strings.ContainsAny(p, "[]") {
				return nil
			}
		}
		return parts
	}
	inner, ok := strings.CutPrefix(rest, ".")
	parts := strings.Split(inner, ".")
	for _, p := range parts {
		if !ok || p == "" || strings.ContainsAny(p, "[]") {
			return nil
		}
	}
	return parts
}
