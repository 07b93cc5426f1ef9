// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	securityapi "istio.io/api/security/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// discovery is where an issuer tells its key set (OpenID Connect Discovery 1.0, section 4).
const discovery = "/.well-known/openid-configuration"

// authentication reads a RequestAuthentication.
func (r *reader) authentication(o *security.RequestAuthentication, in Input) (*model.RequestAuthentication, []Wanted) {
	spec := &o.Spec
	a := &model.RequestAuthentication{Origin: r.origin, Target: r.target(spec)}
	broken := r.fault
	if text, ok := o.Annotations[annotationMalformed]; ok {
		r.refuse("spec", "the object can't be read and has no effect; correct it: %s", text)
	}
	var wanted []Wanted
	for i, rule := range spec.GetJwtRules() {
		// One rule that can't be had doesn't spoil the others.
		r.fault = broken
		made, want := r.jwt(fmt.Sprintf("spec.jwtRules[%d]", i), rule, in)
		made.Invalid = r.fault
		a.Rules = append(a.Rules, made)
		wanted = append(wanted, want...)
	}
	return a, wanted
}

func (r *reader) jwt(field string, rule *securityapi.JWTRule, in Input) (model.JWTRule, []Wanted) {
	out := model.JWTRule{
		Issuer: rule.GetIssuer(), Audiences: slices.Clone(rule.GetAudiences()), JWKSURI: rule.GetJwksUri(),
		FromParams: slices.Clone(rule.GetFromParams()), FromCookies: slices.Clone(rule.GetFromCookies()),
		SpaceDelimitedClaims: slices.Clone(rule.GetSpaceDelimitedClaims()),
		OutputHeader:         strings.ToLower(rule.GetOutputPayloadToHeader()), Forward: rule.GetForwardOriginalToken(),
	}
	if out.Issuer == "" {
		r.refuse(field+".issuer", "a rule is for the tokens of one issuer; name it")
	}
	r.filled(field+".audiences", out.Audiences)
	r.filled(field+".fromParams", out.FromParams)
	r.filled(field+".fromCookies", out.FromCookies)
	r.filled(field+".spaceDelimitedClaims", out.SpaceDelimitedClaims)
	for i, h := range rule.GetFromHeaders() {
		r.header(fmt.Sprintf("%s.fromHeaders[%d].name", field, i), h.GetName())
		out.FromHeaders = append(out.FromHeaders, model.Header{Name: strings.ToLower(h.GetName()), Value: h.GetPrefix()})
	}
	if out.OutputHeader != "" {
		r.header(field+".outputPayloadToHeader", out.OutputHeader)
	}
	seen := map[string]bool{}
	for i, c := range rule.GetOutputClaimToHeaders() {
		at := fmt.Sprintf("%s.outputClaimToHeaders[%d]", field, i)
		name := strings.ToLower(c.GetHeader())
		r.header(at+".header", name)
		switch {
		case c.GetClaim() == "":
			r.refuse(at+".claim", "no claim is named; name one")
		case seen[name]:
			r.refuse(at+".header", "header %q is written twice; give each claim a header of its own", name)
		}
		seen[name] = true
		out.ClaimsToHeaders = append(out.ClaimsToHeaders, model.Header{Name: name, Value: c.GetClaim()})
	}
	var wanted []Wanted
	out.JWKS, wanted = r.keys(field, rule, in)
	return out, wanted
}

// keys of a rule: what stands in it, or what was fetched.
func (r *reader) keys(field string, rule *securityapi.JWTRule, in Input) (string, []Wanted) {
	if rule.GetJwks() != "" {
		if rule.GetJwksUri() != "" {
			r.refuse(field+".jwksUri", "jwks and jwksUri exclude each other; remove one of them")
			return "", nil
		}
		set, err := keySet(rule.GetJwks())
		if err != nil {
			r.refuse(field+".jwks", "%v, so no token of %q is valid; give a JSON Web Key Set (RFC 7517) with public keys", err, rule.GetIssuer())
		}
		return set, nil
	}
	at, from := rule.GetJwksUri(), field+".jwksUri"
	if at == "" {
		if !strings.HasPrefix(rule.GetIssuer(), "https://") {
			r.refuse(from, "the keys of issuer %q can't be discovered, which takes an https address; set jwks or jwksUri", rule.GetIssuer())
			return "", nil
		}
		at, from = strings.TrimSuffix(rule.GetIssuer(), "/")+discovery, field+".issuer"
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		r.refuse(from, "%q is no http or https address without a password; correct it", at)
		return "", nil
	}
	wanted := []Wanted{{URI: at, Timeout: max(0, rule.GetTimeout().AsDuration())}}
	if why := in.JWKSFailures[at]; why != "" {
		r.tell(from, unavailable, "the keys at %s could not be fetched and no other ones are used in their place: %s", at, why)
	}
	text, ok := in.JWKS[at]
	if !ok {
		return "", wanted
	}
	set, err := keySet(text)
	if err != nil {
		r.tell(from, unavailable, "what %s answers is not usable, so no token of %q is valid: %v", at, rule.GetIssuer(), err)
	}
	return set, wanted
}

func (r *reader) filled(field string, values []string) {
	for i, v := range values {
		if v == "" {
			r.refuse(fmt.Sprintf("%s[%d]", field, i), "an empty value means nothing; remove it")
		}
	}
}

func (r *reader) header(field, name string) {
	token := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}
	if name == "" || strings.ContainsFunc(name, func(c rune) bool { return !token(c) }) {
		r.refuse(field, "%q is no header name; correct it", name)
	}
}
