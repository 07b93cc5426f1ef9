// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	securityapi "istio.io/api/security/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// maxValue bounds what a matcher costs each proxy.
const maxValue = 4096

// authorization reads an AuthorizationPolicy.
func (r *reader) authorization(o *security.AuthorizationPolicy) *model.Authorization {
	spec := &o.Spec
	a := &model.Authorization{
		Origin:   r.origin,
		Target:   r.target(spec),
		Provider: spec.GetProvider().GetName(),
	}
	if text, ok := o.Annotations[annotationMalformed]; ok {
		// Nobody knows what it says, so it is taken for the strictest there is.
		r.refuse("spec", "the object can't be read and denies all calls; correct it: %s", text)
		a.Action = model.Deny
	}
	switch spec.GetAction() {
	case securityapi.AuthorizationPolicy_ALLOW:
	case securityapi.AuthorizationPolicy_DENY:
		a.Action = model.Deny
	case securityapi.AuthorizationPolicy_AUDIT:
		a.Action = model.Audit
	case securityapi.AuthorizationPolicy_CUSTOM:
		a.Action = model.Custom
	default:
		a.Action = model.Deny
		r.refuse("spec.action", "action %d is unknown; use ALLOW, DENY, AUDIT or CUSTOM", spec.GetAction())
	}
	r.dryRun(o, a)
	r.provider(a)
	for i, rule := range spec.GetRules() {
		a.Rules = append(a.Rules, r.rule(fmt.Sprintf("spec.rules[%d]", i), rule))
	}
	if len(a.Rules) == 0 && a.Action != model.Allow {
		reason := invalid
		if a.Action == model.Audit {
			reason = noEffect
		}
		r.tell("spec.rules", reason, "without rules the policy matches nothing and has no effect; add a rule, {} for every call")
	}
	a.Invalid = r.fault
	return a
}

func (r *reader) dryRun(o *security.AuthorizationPolicy, a *model.Authorization) {
	value, there := o.Annotations[annotationDryRun]
	if !there {
		return
	}
	if a.Action == model.Custom || a.Action == model.Audit {
		r.tell("metadata.annotations["+annotationDryRun+"]", invalid, "a dry run tells of ALLOW and DENY policies only; remove the annotation")
	}
	switch strings.ToLower(value) {
	case "false", "f", "0":
	case "true", "t", "1":
		a.DryRun = true
	default:
		r.tell("metadata.annotations["+annotationDryRun+"]", invalid, "%q is neither true nor false, so the policy is in force; use true or false", value)
	}
}

func (r *reader) provider(a *model.Authorization) {
	switch {
	case a.Action != model.Custom && a.Provider != "":
		r.refuse("spec.provider", "only CUSTOM has a provider; set action CUSTOM or remove the provider")
	case a.Action != model.Custom:
	case a.Provider == "":
		r.refuse("spec.provider.name", "CUSTOM asks an external authorizer; name one of meshConfig.extensionProviders")
	case !slices.ContainsFunc(r.settings.Providers, func(p model.Provider) bool { return p.Name == a.Provider }):
		r.refuseFor(notFound, "spec.provider.name", "there is no external authorizer %q; add it to meshConfig.extensionProviders or correct the name", a.Provider)
	}
}

func (r *reader) rule(field string, rule *securityapi.Rule) model.AuthorizationRule {
	var out model.AuthorizationRule
	for i, from := range rule.GetFrom() {
		out.From = append(out.From, r.source(fmt.Sprintf("%s.from[%d].source", field, i), from.GetSource()))
	}
	for i, to := range rule.GetTo() {
		out.To = append(out.To, r.operation(fmt.Sprintf("%s.to[%d].operation", field, i), to.GetOperation()))
	}
	for i, when := range rule.GetWhen() {
		out.When = append(out.When, r.condition(fmt.Sprintf("%s.when[%d]", field, i), when))
	}
	return out
}

// values of a field and of its negation.
func (r *reader) values(field, not string, in, notIn []string, check func(field, value string)) model.Values {
	for _, side := range []struct {
		field  string
		values []string
	}{{field, in}, {not, notIn}} {
		for i, v := range side.values {
			at := fmt.Sprintf("%s[%d]", side.field, i)
			switch {
			case v == "":
				r.refuse(at, "an empty value matches nothing; remove it, or use * for any value that is there")
			case !utf8.ValidString(v) || len(v) > maxValue:
				r.refuse(at, "a value is text in UTF-8 of at most %d bytes; correct it", maxValue)
			case check != nil:
				check(at, v)
			}
		}
	}
	return model.Values{In: slices.Clone(in), NotIn: slices.Clone(notIn)}
}

// inner begins a field's name with a capital letter after "not".
func inner(field, name string) (string, string) {
	return field + "." + name, field + ".not" + strings.ToUpper(name[:1]) + name[1:]
}

func (r *reader) list(field, name string, in, notIn []string, check func(field, value string)) model.Values {
	yes, no := inner(field, name)
	return r.values(yes, no, in, notIn, check)
}
