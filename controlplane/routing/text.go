// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"regexp"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// text matches a string that is there.
func (r rule) text(field string, m model.Match) (*matcherv3.StringMatcher, bool) {
	out := &matcherv3.StringMatcher{IgnoreCase: m.IgnoreCase}
	switch m.Kind {
	case model.MatchExact:
		out.MatchPattern = &matcherv3.StringMatcher_Exact{Exact: m.Value}
	case model.MatchPrefix:
		out.MatchPattern = &matcherv3.StringMatcher_Prefix{Prefix: m.Value}
	case model.MatchSuffix:
		out.MatchPattern = &matcherv3.StringMatcher_Suffix{Suffix: m.Value}
	default:
		pattern := expression(m)
		if !r.usable(field, pattern) {
			return nil, false
		}
		out.IgnoreCase = false
		out.MatchPattern = &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex(ignoringCase(pattern, m.IgnoreCase))}
	}
	return out, true
}

// anything is true for matches that take every value that is there.
func anything(m model.Match) bool {
	switch m.Kind {
	case model.MatchPresent:
		return true
	case model.MatchPrefix, model.MatchSuffix:
		return m.Value == ""
	case model.MatchRegex:
		return m.Value == ".*"
	}
	return false
}

// emptyFits is true for matches that take the empty value.
func emptyFits(m model.Match) bool {
	switch m.Kind {
	case model.MatchExact:
		return m.Value == ""
	case model.MatchRegex:
		e, err := regexp.Compile(`\A(?:` + m.Value + `)\z`)
		return err == nil && e.MatchString("")
	}
	return false
}

// expression says a match that Envoy has no word for as a regular expression.
func expression(m model.Match) string {
	switch m.Kind {
	case model.MatchPathPrefix:
		if p := strings.TrimRight(m.Value, "/"); p != "" {
			return regexp.QuoteMeta(p) + "(/.*)?"
		}
		return "/.*"
	case model.MatchSuffix:
		return ".*" + regexp.QuoteMeta(m.Value)
	case model.MatchTemplate:
		return strings.NewReplacer(regexp.QuoteMeta("{**}"), ".*", regexp.QuoteMeta("{*}"), "[^/]+").Replace(regexp.QuoteMeta(m.Value))
	default:
		return m.Value
	}
}

func ignoringCase(pattern string, ignore bool) string {
	if ignore {
		return "(?i)" + pattern
	}
	return pattern
}

func regex(pattern string) *matcherv3.RegexMatcher {
	if pattern == "" {
		// Envoy takes no empty expression.
		pattern = "^$"
	}
	return &matcherv3.RegexMatcher{Regex: pattern}
}

// usable is true for a pattern that Envoy takes. Of any other there is a problem.
func (r rule) usable(field, pattern string) bool {
	if err := model.CheckPattern(pattern); err != nil {
		r.tell(field, "InvalidRegex", fmt.Sprintf("%v: mend the expression, the rule is left out where it needs it", err))
		return false
	}
	return true
}
