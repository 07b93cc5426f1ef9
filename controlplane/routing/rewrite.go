// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// rewritable is false when the rule's rewrite is one that Envoy refuses. Its
// requests are then answered with 500, rather than sent on as they are.
func (r rule) rewritable() bool {
	w := r.Rewrite
	if w == nil {
		return true
	}
	if w.Pattern != "" {
		if err := model.CheckPattern(w.Pattern); err != nil {
			r.tell("rewrite.uriRegexRewrite.match", "InvalidRegex", fmt.Sprintf("%v: mend the expression; until then requests get 500", err))
			return false
		}
		if err := substitution(w.Pattern, w.Substitution); err != nil {
			r.tell("rewrite.uriRegexRewrite.rewrite", "InvalidRewrite", err.Error()+": mend it; until then requests get 500")
			return false
		}
	}
	for _, path := range []*string{w.Path, w.PrefixPath} {
		if path != nil && !envoy.ValidValue(*path) {
			r.tell("rewrite.uri", "InvalidPath", "the path is longer than 16384 bytes or has a line break in it: mend it; until then requests get 500")
			return false
		}
	}
	return true
}

// substitution says why Envoy would refuse what replaces a pattern's match:
// \0 to \9 are groups of the pattern, and \\ is a backslash.
func substitution(pattern, with string) error {
	e, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	if !envoy.ValidValue(with) {
		return fmt.Errorf("%q is too long, or has a line break in it", with)
	}
	for i := 0; i < len(with); i++ {
		if with[i] != '\\' {
			continue
		}
		i++
		switch {
		case i < len(with) && with[i] == '\\':
		case i >= len(with) || with[i] < '0' || with[i] > '9':
			return fmt.Errorf("a backslash in %q stands before a digit or another backslash only", with)
		case int(with[i]-'0') > e.NumSubexp():
			return fmt.Errorf(`\%c in %q is no group of %q, which has %d`, with[i], with, pattern, e.NumSubexp())
		}
	}
	return nil
}

// authority is true for one that can stand in a request.
func (r rule) authority(a string) bool {
	if !envoy.ValidValue(a) {
		r.tell("rewrite.authority", "InvalidHeader", fmt.Sprintf("%q is no host: write a name on one line", a))
		return false
	}
	return a != ""
}

// rewrite the path of requests.
func (r rule) rewrite(action *routev3.RouteAction, m *model.HTTPMatch) {
	switch w := r.Rewrite; {
	case w == nil:
	case w.Pattern != "":
		action.RegexRewrite = replace(w.Pattern, w.Substitution)
	case w.Path != nil:
		action.RegexRewrite = whole(*w.Path)
	case w.PrefixPath != nil:
		prefix, re := r.prefixRewrite(m, *w.PrefixPath)
		action.PrefixRewrite, action.RegexRewrite = prefix, re
	}
}

// prefixRewrite replaces what the match's prefix matched, in one of the two
// ways that Envoy has. A prefix of bytes is replaced by bytes, one of path
// segments by path segments: /foo/bar becomes /bar when /foo becomes /.
func (r rule) prefixRewrite(m *model.HTTPMatch, with string) (string, *matcherv3.RegexMatchAndSubstitute) {
	segments := m.Path.Kind == model.MatchPathPrefix || m.Path.Kind == model.MatchAny && r.routing.BySpecificity
	if !segments {
		if with == "" {
			with = "/"
		}
		return with, nil
	}
	from, to := strings.TrimRight(m.Path.Value, "/"), strings.TrimRight(with, "/")
	switch {
	case from == "":
		return to + "/", nil
	case to != "":
		return to, nil
	}
	ignore := m.IgnorePathCase || m.Path.IgnoreCase
	return "", replace(ignoringCase("^"+regexp.QuoteMeta(from)+"/*", ignore), "/")
}

// whole replaces the path, but not the query.
func whole(path string) *matcherv3.RegexMatchAndSubstitute {
	return replace("^.*$", strings.ReplaceAll(path, `\`, `\\`))
}

func replace(pattern, with string) *matcherv3.RegexMatchAndSubstitute {
	return &matcherv3.RegexMatchAndSubstitute{Pattern: regex(pattern), Substitution: with}
}
