// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"regexp"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// text is a value as users write it: abc, abc*, *abc, or * for any that is there.
type text struct {
	kind  model.MatchKind
	value string
}

func parse(v string) text {
	switch {
	case v == "*":
		return text{kind: model.MatchPresent}
	case strings.HasSuffix(v, "*"):
		return text{model.MatchPrefix, strings.TrimSuffix(v, "*")}
	case strings.HasPrefix(v, "*"):
		return text{model.MatchSuffix, strings.TrimPrefix(v, "*")}
	}
	return text{model.MatchExact, v}
}

// matcher of a whole string.
func (t text) matcher(ignoreCase bool) *matcherv3.StringMatcher {
	m := &matcherv3.StringMatcher{IgnoreCase: ignoreCase}
	switch {
	case t.kind == model.MatchPresent || t.value == "" && t.kind != model.MatchExact:
		return present()
	case t.kind == model.MatchPrefix:
		m.MatchPattern = &matcherv3.StringMatcher_Prefix{Prefix: t.value}
	case t.kind == model.MatchSuffix:
		m.MatchPattern = &matcherv3.StringMatcher_Suffix{Suffix: t.value}
	default:
		m.MatchPattern = &matcherv3.StringMatcher_Exact{Exact: t.value}
	}
	return m
}

// pattern is a regular expression (RE2) that stands for the value inside a
// larger one; any stands for what a wildcard covers.
func (t text) pattern(any string) string {
	q := regexp.QuoteMeta(t.value)
	switch t.kind {
	case model.MatchPresent:
		return strings.TrimSuffix(any, "*") + "+"
	case model.MatchPrefix:
		return q + any
	case model.MatchSuffix:
		return any + q
	}
	return q
}

// present matches what isn't empty.
func present() *matcherv3.StringMatcher { return expression("(?s).+") }

// expression must match the whole string.
func expression(re2 string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: re2}}}
}

func exact(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
}

func prefix(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: s}}
}

func suffix(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: s}}
}
