// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// stringMatch of a text. Empty has no effect here; false when it can't be used.
func (r *reader) stringMatch(field string, m *networking.StringMatch) (model.Match, bool) {
	switch v := m.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return model.Match{Kind: model.MatchExact, Value: v.Exact}, true
	case *networking.StringMatch_Prefix:
		if v.Prefix == "" && !strings.HasSuffix(field, ".uri") {
			r.reject(field+".prefix", "it is empty, and every text begins so; write a beginning, or leave it out")
		}
		return model.Match{Kind: model.MatchPrefix, Value: v.Prefix}, true
	case *networking.StringMatch_Regex:
		if v.Regex == "" {
			r.refuse(field+".regex", "it is empty; write an expression, or leave it out")
			return model.Match{}, false
		}
		if err := model.CheckPattern(v.Regex); err != nil {
			r.refuse(field+".regex", "%v; mend or shorten it", err)
			return model.Match{}, false
		}
		return model.Match{Kind: model.MatchRegex, Value: v.Regex}, true
	default:
		return model.Match{}, true
	}
}

// httpMatches of a rule. False when it had some and none of them can be used.
func (r *reader) httpMatches(field string, matches []*networking.HTTPMatchRequest, bound []model.GatewayRef) ([]model.HTTPMatch, bool) {
	var out []model.HTTPMatch
	for i, m := range matches {
		if made, ok := r.httpMatch(at(field, i), m, bound); ok {
			out = append(out, made)
		}
	}
	return out, len(matches) == 0 || len(out) > 0
}

func (r *reader) httpMatch(field string, m *networking.HTTPMatchRequest, bound []model.GatewayRef) (model.HTTPMatch, bool) {
	if m == nil {
		r.refuse(field, "the match is null; write what it asks for, or leave it out")
		return model.HTTPMatch{}, false
	}
	out := model.HTTPMatch{Name: m.GetName(), StatPrefix: m.GetStatPrefix()}
	ok := true
	take := func(to *model.Match, name string, from *networking.StringMatch) {
		made, fine := r.stringMatch(field+"."+name, from)
		*to, ok = made, ok && fine
	}
	take(&out.Path, "uri", m.GetUri())
	take(&out.Scheme, "scheme", m.GetScheme())
	take(&out.Method, "method", m.GetMethod())
	take(&out.Authority, "authority", m.GetAuthority())
	r.path(field, m, &out)
	if m.GetPort() != 0 {
		out.Port = r.port(field+".port", m.GetPort())
		ok = ok && out.Port != 0
	}
	for _, named := range []struct {
		name string
		from map[string]*networking.StringMatch
		not  bool
	}{{"headers", m.GetHeaders(), false}, {"withoutHeaders", m.GetWithoutHeaders(), true}} {
		for _, k := range sortedKeys(named.from) {
			made, use, fine := r.headerMatch(field+"."+named.name, k, named.from[k], named.not, bound)
			ok = ok && fine
			if use {
				out.Headers = append(out.Headers, made)
			}
		}
	}
	slices.SortStableFunc(out.Headers, func(a, b model.NamedMatch) int { return strings.Compare(a.Name, b.Name) })
	for _, k := range sortedKeys(m.GetQueryParams()) {
		made, fine := r.named(field+".queryParams["+k+"]", k, m.GetQueryParams()[k])
		if k == "" {
			r.refuse(field+".queryParams", "a query parameter has no name; write one")
			fine = false
		}
		ok = ok && fine
		out.Query = append(out.Query, made)
	}
	from, fine := r.callers(field, m.GetSourceLabels(), m.GetSourceNamespace(), m.GetGateways(), bound)
	out.From = from
	return out, ok && fine
}

// path is what is special about the match of a path.
func (r *reader) path(field string, m *networking.HTTPMatchRequest, out *model.HTTPMatch) {
	switch p := &out.Path; p.Kind {
	case model.MatchPrefix:
		if p.Value == "" {
			*p = model.Match{} // every path begins so
			return
		}
	case model.MatchExact:
		if !strings.HasPrefix(p.Value, "/") && p.Value != "*" {
			r.tell(field+".uri.exact", noEffect, "paths begin with /, so %q matches none; write /%s", p.Value, p.Value)
		}
	case model.MatchRegex, model.MatchAny:
		if m.GetIgnoreUriCase() {
			r.tell(field+".ignoreUriCase", noEffect, "it changes exact and prefix only; for an expression begin it with (?i)")
		}
		return
	}
	out.IgnorePathCase = m.GetIgnoreUriCase()
	out.Path.IgnoreCase = m.GetIgnoreUriCase()
}

// named is a match of a header's or a parameter's value. An empty one wants it to be there.
func (r *reader) named(field, name string, m *networking.StringMatch) (model.NamedMatch, bool) {
	made, ok := r.stringMatch(field, m)
	if made.Kind == model.MatchAny {
		made.Kind = model.MatchPresent
	}
	return model.NamedMatch{Name: name, Match: made}, ok
}

// headerMatch says also whether the match is to be used at all.
func (r *reader) headerMatch(field, name string, m *networking.StringMatch, not bool, bound []model.GatewayRef) (made model.NamedMatch, use, ok bool) {
	field += "[" + name + "]"
	switch name {
	case "uri", "scheme", "method", "authority":
		r.tell(field, noEffect, "Istio ignores the header %q here; use the match's own field %s", name, name)
		return model.NamedMatch{}, false, true
	}
	claim := strings.HasPrefix(name, "@request.auth.claims") // of a token, which is no header
	if claim && slices.Contains(bound, model.Sidecars) {
		r.reject(field, "claims of tokens are known at gateways only; bind the VirtualService to gateways, and not to mesh")
	}
	if !claim && !isHeader(name) {
		r.refuse(field, "%.100q is no name of a header; use letters, digits and hyphens", name)
		return model.NamedMatch{}, false, false
	}
	if !claim {
		name = strings.ToLower(name)
	}
	made, ok = r.named(field, name, m)
	made.Not = not
	return made, true, ok
}

// callers that a match holds for.
func (r *reader) callers(field string, labels map[string]string, namespace string, gateways []string, bound []model.GatewayRef) (model.Callers, bool) {
	selector, ok := r.labels(field+".sourceLabels", labels)
	out := model.Callers{Labels: selector, Namespace: namespace}
	if namespace != "" && !isLabel(namespace) {
		r.refuse(field+".sourceNamespace", "%.100q is no namespace; write a namespace's name", namespace)
		ok = false
	} else if strings.Contains(namespace, "_") {
		r.reject(field+".sourceNamespace", "%q is no namespace, so it holds for no caller; write a namespace's name", namespace)
	}
	for i, name := range gateways {
		ref, fine := r.gatewayRef(at(field+".gateways", i), name)
		if !fine {
			ok = false
			continue
		}
		if _, there := slices.BinarySearchFunc(bound, ref, compareGatewayRefs); len(bound) > 0 && !there {
			r.tell(at(field+".gateways", i), noEffect, "the VirtualService is not bound to %q; name it in spec.gateways too", name)
		}
		out.Gateways = append(out.Gateways, ref)
	}
	slices.SortFunc(out.Gateways, compareGatewayRefs)
	out.Gateways = slices.Compact(out.Gateways)
	mesh := slices.Contains(bound, model.Sidecars) || len(bound) == 0
	if (out.Labels != "" || namespace != "") && !mesh {
		r.tell(field, noEffect, "sourceLabels and sourceNamespace choose sidecars, and the VirtualService is not bound to them; add mesh to spec.gateways")
	}
	return out, ok
}

// sortHeaders orders by name.
func sortHeaders(m map[string]string) []model.Header {
	var out []model.Header
	for _, k := range sortedKeys(m) {
		out = append(out, model.Header{Name: k, Value: m[k]})
	}
	return out
}
