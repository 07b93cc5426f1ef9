// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

var (
	// Hosts of services, some of which nobody knows.
	Hosts = rapid.SampledFrom([]model.Hostname{
		"reviews.shop.svc.cluster.local", "ratings.shop.svc.cluster.local", "details.bank.svc.cluster.local",
		"example.com", "*.example.com", "unknown.example.org",
	})
	ports = rapid.SampledFrom([]uint16{0, 0, 80, 443, 9080})
	paths = rapid.SampledFrom([]string{
		"/", "/", "/foo", "/foo/", "/foo/bar", "/a.b*c", "/%7Ename", "/a b", "/ü", "foo", "", "/foo?x=y", "/foo#bar", "//", "/a", "a", `/\d`, "/{*}/x/{**}",
	})
	words   = rapid.SampledFrom([]string{"a", "jason", "v1", "x y", "", "ä", "GET", "https", "50%", "%", "%%", "%REQ(x-user)%", "%REQ(", "%FOO%", "%REQ()%", "%START_TIME%", "a,b", "\ttab", "{x}", "line\nbreak", "*"})
	names   = rapid.SampledFrom([]string{"x-user", "end-user", "cookie", "user-agent", "x-1", "X-Upper", "x_under", ":authority", "host", "Host", ":path", ":method", "", "x y", "x:y", "content-length"})
	regexes = rapid.SampledFrom([]string{
		".*", "a+", "/foo/[0-9]+", "^/foo$", "(?i)foo", "(", "[", "a{1000}", "(a{1000}){1000}", `\d+`, `\pL+`, `[\x{80}-\x{10ffff}]{500}`, `\bfoo\b`,
		"(?P<name>x)", "(?<name>x)", `\Qa.b\E`, "a**", "x*?", `\z`, `\C`, "(?=x)", `(a)\1`, "[[:alpha:]]", "(a|b|c){1,100}", "((a*)*)*", `\p{Greek}{200}`, "",
		strings.Repeat("(", 500) + strings.Repeat(")", 500), strings.Repeat("a?", 1000), "(.{900}){30}", `\x{110000}`, `[a-\d]`, "(?s).", "(?m)^x$", "(?U)a+",
	})
	durations = rapid.SampledFrom([]time.Duration{-1, 0, 1, time.Microsecond, time.Millisecond, 25 * time.Millisecond, 1500 * time.Millisecond, time.Hour, 1000 * time.Hour})
	percents  = rapid.SampledFrom([]float64{-1, 0, 0.00001, 0.1, 12.3456, 50, 100, 101, 1e9})
	statuses  = rapid.SampledFrom([]uint32{0, 99, 100, 200, 204, 301, 302, 303, 307, 308, 404, 429, 503, 599, 600, 65536})
	bytes     = rapid.SampledFrom([]int{0, 1, 10, 4096, 4097, 100000, 2 << 20})
	numbers   = rapid.SampledFrom([]uint32{0, 1, 2, 5, 100, 1024, 1 << 29, 1<<31 - 1, 1<<32 - 1})
)

// some of a generator's values, in a list of up to most.
func some[T any](t *rapid.T, label string, most int, g *rapid.Generator[T]) []T {
	n := rapid.IntRange(0, most).Draw(t, label+"s")
	var out []T
	for range n {
		out = append(out, g.Draw(t, label))
	}
	return out
}

// maybe one of a generator's values.
func maybe[T any](t *rapid.T, label string, g *rapid.Generator[T]) *T {
	if !rapid.Bool().Draw(t, label+"?") {
		return nil
	}
	v := g.Draw(t, label)
	return &v
}

func textMatch(t *rapid.T, label string) model.Match {
	m := model.Match{
		Kind:       rapid.SampledFrom([]model.MatchKind{model.MatchAny, model.MatchExact, model.MatchPrefix, model.MatchSuffix, model.MatchRegex, model.MatchPresent}).Draw(t, label+" kind"),
		IgnoreCase: rapid.Bool().Draw(t, label+" ignoring case"),
	}
	if m.Kind == model.MatchRegex {
		m.Value = regexes.Draw(t, label)
	} else {
		m.Value = words.Draw(t, label)
	}
	return m
}

func pathMatch(t *rapid.T) model.Match {
	m := model.Match{Kind: rapid.SampledFrom([]model.MatchKind{
		model.MatchAny, model.MatchExact, model.MatchPrefix, model.MatchPathPrefix, model.MatchSuffix, model.MatchRegex, model.MatchTemplate,
	}).Draw(t, "path kind")}
	if m.Kind == model.MatchRegex {
		m.Value = regexes.Draw(t, "path")
	} else {
		m.Value = paths.Draw(t, "path")
	}
	return m
}

func header(t *rapid.T) model.Header {
	return model.Header{Name: names.Draw(t, "name"), Value: words.Draw(t, "value")}
}

func headerOps(t *rapid.T, label string) model.HeaderOps {
	h := rapid.Custom(header)
	return model.HeaderOps{Set: some(t, label+" set", 2, h), Add: some(t, label+" add", 2, h), Remove: some(t, label+" remove", 2, names)}
}

func headerChanges(t *rapid.T) model.HeaderChanges {
	return model.HeaderChanges{Request: headerOps(t, "request"), Response: headerOps(t, "response")}
}
