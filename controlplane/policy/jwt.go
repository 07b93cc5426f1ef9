// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// spaced claims hold several values each (RFC 8693 has scope).
var spaced = []string{"permission", "scope"}

// tokens is the filter that verifies tokens; nil when no rule asks for it. A
// request without a token passes; one with a token that isn't valid gets 401.
func tokens(policies []*model.RequestAuthentication) *jwtv3.JwtAuthentication {
	var rules []model.JWTRule
	for _, a := range policies {
		rules = append(rules, a.Rules...)
	}
	if len(rules) == 0 {
		return nil
	}
	out := &jwtv3.JwtAuthentication{Providers: map[string]*jwtv3.JwtProvider{}, BypassCorsPreflight: true}
	for i := range rules {
		out.Providers[providerName(i)] = issuer(&rules[i])
	}
	var each []*jwtv3.JwtRequirement
	for _, group := range together(rules) {
		var ways []*jwtv3.JwtRequirement
		for _, i := range group {
			ways = append(ways, &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_ProviderName{ProviderName: providerName(i)}})
		}
		ways = append(ways, &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_AllowMissing{AllowMissing: &emptypb.Empty{}}})
		each = append(each, &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAny{
			RequiresAny: &jwtv3.JwtRequirementOrList{Requirements: ways},
		}})
	}
	requires := each[0]
	if len(each) > 1 {
		requires = &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_RequiresAll{
			RequiresAll: &jwtv3.JwtRequirementAndList{Requirements: each},
		}}
	}
	out.Rules = []*jwtv3.RequirementRule{{
		Match:           envoy.EveryPath(),
		RequirementType: &jwtv3.RequirementRule_Requires{Requires: requires},
	}}
	return out
}

func providerName(i int) string { return "origins-" + strconv.Itoa(i) }

// issuer of a rule. Of one that can't be had only the name is used, so that
// Envoy takes the rest of the listener.
func issuer(r *model.JWTRule) *jwtv3.JwtProvider {
	if r.Invalid != "" {
		r = &model.JWTRule{Issuer: r.Issuer}
	}
	keys := r.JWKS
	if keys == "" {
		keys = NoKey
	}
	claims := append(slices.Clone(spaced), r.SpaceDelimitedClaims...)
	slices.Sort(claims)
	p := &jwtv3.JwtProvider{
		Issuer: r.Issuer, Audiences: r.Audiences, Forward: r.Forward, ForwardPayloadHeader: r.OutputHeader,
		FromParams: r.FromParams, FromCookies: r.FromCookies,
		JwksSourceSpecifier: &jwtv3.JwtProvider_LocalJwks{LocalJwks: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: keys},
		}},
		PayloadInMetadata: payload,
		NormalizePayloadInMetadata: &jwtv3.JwtProvider_NormalizePayload{
			SpaceDelimitedClaims: slices.Compact(claims),
		},
		// Routes may look at claims.
		ClearRouteCache: true,
	}
	for _, h := range r.FromHeaders {
		p.FromHeaders = append(p.FromHeaders, &jwtv3.JwtHeader{Name: h.Name, ValuePrefix: h.Value})
	}
	for _, h := range r.ClaimsToHeaders {
		p.ClaimToHeaders = append(p.ClaimToHeaders, &jwtv3.JwtClaimToHeader{HeaderName: h.Name, ClaimName: h.Value})
	}
	return p
}

// together groups the rules that look for tokens in a common place: there one
// of them must take the token. A token in another place must be valid too.
func together(rules []model.JWTRule) [][]int {
	group := make([]int, len(rules))
	at := map[string]int{}
	for i := range rules {
		group[i] = i
		for _, place := range places(&rules[i]) {
			j, ok := at[place]
			if !ok {
				at[place] = i
				continue
			}
			from, to := group[i], group[j]
			for k := range i + 1 {
				if group[k] == from {
					group[k] = to
				}
			}
		}
	}
	var out [][]int
	index := map[int]int{}
	for i, g := range group {
		n, ok := index[g]
		if !ok {
			n = len(out)
			index[g] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], i)
	}
	return out
}

// places where a rule looks for tokens; the usual ones when it can't be had.
func places(r *model.JWTRule) []string {
	var out []string
	if r.Invalid != "" {
		r = &model.JWTRule{}
	}
	for _, h := range r.FromHeaders {
		out = append(out, "header "+h.Name)
	}
	for _, p := range r.FromParams {
		out = append(out, "parameter "+p)
	}
	for _, c := range r.FromCookies {
		out = append(out, "cookie "+c)
	}
	if len(out) == 0 {
		return []string{"header authorization", "parameter access_token"}
	}
	return out
}
