// SPDX-License-Identifier: Apache-2.0

package standardmetrics

import (
	corev3 "github.com/cncf/xds/go/xds/core/v3"
	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	transformv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/actions/transform_stat/v3"
	inputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/stats/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// rule changes a tag's value after it has been formatted.
type rule uint8

const (
	none rule = iota
	// packed keeps peers that a CA of the mesh described; servers outside of it have
	// hundreds of names.
	packed
	// grpc tells protocols by the type of what is sent.
	grpc
)

type (
	predicate = matcherv3.Matcher_MatcherList_Predicate
	single    = matcherv3.Matcher_MatcherList_Predicate_SinglePredicate
)

// matcher of the rule; nil when values stay as they are.
func (r rule) matcher() *matcherv3.Matcher {
	switch r {
	case packed:
		return where(to(&transformv3.TransformStat{DropTag: &transformv3.TransformStat_DropTag{}}),
			&predicate{MatchType: &matcherv3.Matcher_MatcherList_Predicate_NotMatcher{
				NotMatcher: value(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Contains{Contains: "|"}}),
			}})
	case grpc:
		out := where(to(becomes("grpc")),
			value(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "application/grpc"}}),
			value(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "application/grpc+"}}))
		out.OnNoMatch = to(becomes("http"))
		return out
	}
	return nil
}

// where does something when one of the predicates holds.
func where(then *matcherv3.Matcher_OnMatch, one ...*predicate) *matcherv3.Matcher {
	list := &matcherv3.Matcher_MatcherList{}
	for _, p := range one {
		list.Matchers = append(list.Matchers, &matcherv3.Matcher_MatcherList_FieldMatcher{Predicate: p, OnMatch: then})
	}
	return &matcherv3.Matcher{MatcherType: &matcherv3.Matcher_MatcherList_{MatcherList: list}}
}

func value(is *matcherv3.StringMatcher) *predicate {
	return &predicate{MatchType: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{SinglePredicate: &single{
		Input:   extension("value", &inputsv3.StatTagValueInput{}),
		Matcher: &matcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: is},
	}}}
}

func becomes(text string) *transformv3.TransformStat {
	return &transformv3.TransformStat{UpdateTag: &transformv3.TransformStat_UpdateTag{NewTagValue: text}}
}

func to(a *transformv3.TransformStat) *matcherv3.Matcher_OnMatch {
	return &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Action{Action: extension("change", a)}}
}

func extension(name string, m proto.Message) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: name, TypedConfig: envoy.Any(m)}
}
