// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// match of a request. ok is false when it can't hold, or can't be expressed:
// then it is left out, and there is a problem.
func (r rule) match(i int, m *model.HTTPMatch) (out *routev3.RouteMatch, ok bool) {
	out = &routev3.RouteMatch{}
	if !r.path(i, m, out) {
		return nil, false
	}
	for _, pseudo := range []struct {
		name, istio, gateway string
		model.Match
	}{
		{":scheme", "scheme", "scheme", m.Scheme},
		{":method", "method", "method", m.Method},
		{":authority", "authority", "authority", m.Authority},
	} {
		h, ok := r.header(r.matchField(i, pseudo.istio, pseudo.gateway), model.NamedMatch{Name: pseudo.name, Match: pseudo.Match})
		if !ok {
			return nil, false
		}
		out.Headers = appendSome(out.Headers, h)
	}
	for j, want := range m.Headers {
		istio := "headers." + want.Name
		if want.Not {
			istio = "withoutHeaders." + want.Name
		}
		if strings.HasPrefix(want.Name, claimPrefix) {
			c, ok := r.claim(r.matchField(i, istio, fmt.Sprintf("headers[%d]", j)), want)
			if !ok {
				return nil, false
			}
			out.DynamicMetadata = append(out.DynamicMetadata, c)
			continue
		}
		h, ok := r.header(r.matchField(i, istio, fmt.Sprintf("headers[%d]", j)), want)
		if !ok {
			return nil, false
		}
		out.Headers = appendSome(out.Headers, h)
	}
	for j, want := range m.Query {
		q, ok := r.query(r.matchField(i, "queryParams."+want.Name, fmt.Sprintf("queryParams[%d]", j)), want)
		if !ok {
			return nil, false
		}
		out.QueryParameters = appendSome(out.QueryParameters, q)
	}
	return out, true
}

func appendSome[T any](list []*T, one *T) []*T {
	if one == nil {
		return list
	}
	return append(list, one)
}

// separated is what Envoy takes as a prefix of whole path segments.
var separated = regexp.MustCompile(`^[^?#]+[^?#/]$`)

// path without the query, which is what all matches look at.
func (r rule) path(i int, m *model.HTTPMatch, out *routev3.RouteMatch) bool {
	field := r.matchField(i, "uri", "path.value")
	ignoreCase := m.IgnorePathCase || m.Path.IgnoreCase
	value := m.Path.Value
	switch m.Path.Kind {
	case model.MatchExact:
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: value}
	case model.MatchPrefix:
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: value}
	case model.MatchPathPrefix:
		value = strings.TrimRight(value, "/")
		switch {
		case value == "":
			out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
		case !separated.MatchString(value):
			r.tell(field, "InvalidPath", fmt.Sprintf("path %q can't be the beginning of a path: write one that begins with / and has neither ? nor #", m.Path.Value))
			return false
		default:
			out.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: value}
		}
	case model.MatchSuffix, model.MatchRegex, model.MatchTemplate:
		pattern := expression(m.Path)
		if !r.usable(field, pattern) {
			return false
		}
		out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: regex(ignoringCase(pattern, m.Path.IgnoreCase || m.Path.Kind != model.MatchRegex && ignoreCase))}
		// Envoy's switch knows plain paths only.
		ignoreCase = false
	default:
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
		ignoreCase = false
	}
	if ignoreCase {
		out.CaseSensitive = wrapperspb.Bool(false)
	}
	return true
}

// header to match; nil when any value will do.
func (r rule) header(field string, want model.NamedMatch) (*routev3.HeaderMatcher, bool) {
	if want.Kind == model.MatchAny {
		// Nothing is everything's opposite.
		return nil, !want.Not
	}
	if !envoy.ValidName(strings.TrimPrefix(want.Name, ":")) {
		r.tell(field, "InvalidHeader", fmt.Sprintf("%q is no name of a header: write letters, digits and hyphens", want.Name))
		return nil, false
	}
	out := &routev3.HeaderMatcher{Name: want.Name, InvertMatch: want.Not}
	if anything(want.Match) {
		out.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
		return out, true
	}
	text, ok := r.text(field, want.Match)
	if !ok {
		return nil, false
	}
	out.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: text}
	// A header that is absent has no value that is unwanted.
	out.TreatMissingHeaderAsEmpty = want.Not && !emptyFits(want.Match)
	return out, true
}

// query parameter to match; nil when any value will do.
func (r rule) query(field string, want model.NamedMatch) (*routev3.QueryParameterMatcher, bool) {
	switch {
	case want.Not:
		r.tell(field, "NotSupported", "a query parameter can't be asked not to be there: ask for what it must be")
		return nil, false
	case want.Kind == model.MatchAny:
		return nil, true
	case want.Name == "" || len(want.Name) > 1024:
		r.tell(field, "InvalidQueryParameter", "the name of a query parameter has from 1 to 1024 bytes")
		return nil, false
	}
	out := &routev3.QueryParameterMatcher{Name: want.Name}
	if anything(want.Match) {
		out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}
		return out, true
	}
	text, ok := r.text(field, want.Match)
	if !ok {
		return nil, false
	}
	out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: text}
	return out, true
}
