// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// rule reads a limit and what it is for.
func (r *reader) rule(field string, in *v1alpha1.Rule, mesh bool) model.RateRule {
	out := model.RateRule{Name: in.Name, Match: r.match(field, in)}
	if !isName(in.Name) {
		r.refuse(field+".name", "%.100q is no name of a rule; use at most %d lower-case letters, digits and dashes", in.Name, maxName)
	}
	limit := field + ".limit"
	if in.Limit.Requests < 1 || in.Limit.Requests > maxRequests {
		r.refuse(limit+".requests", "%d is not possible; use 1 to %d", in.Limit.Requests, maxRequests)
	}
	out.Requests = uint32(max(in.Limit.Requests, 1))
	unit, ok := units[in.Limit.Per]
	if !ok {
		r.refuse(limit+".per", "%.100q is no time; use Second, Minute, Hour or Day", in.Limit.Per)
	}
	out.Unit = unit
	switch b := in.Limit.Burst; {
	case b != nil && mesh:
		r.refuse(limit+".burst", "in scope Mesh the service counts by whole units of time and knows no burst; remove it")
	case b != nil && (*b < 1 || *b > maxRequests):
		r.refuse(limit+".burst", "%d is not possible; use 1 to %d", *b, maxRequests)
	case b != nil:
		out.Burst = uint32(*b)
	case !mesh:
		out.Burst = out.Requests
	}
	if len(in.Keys) > maxKeys {
		r.refuse(field+".keys", "there are %d keys; at most %d are possible", len(in.Keys), maxKeys)
		return out
	}
	for i, text := range in.Keys {
		at := fmt.Sprintf("%s.keys[%d]", field, i)
		key, ok := keyOf(string(text))
		switch {
		case !ok:
			r.refuse(at, "%.300q is no key; use source.principal, remote.ip, request.path, request.method, request.host, request.headers[name] or request.auth.claims[name]", text)
		case slices.ContainsFunc(out.Keys, func(k model.RateKey) bool { return k.Kind == key.Kind && slices.Equal(k.Path, key.Path) }):
			r.refuse(at, "key %q is there twice; keep one", text)
		default:
			out.Keys = append(out.Keys, key)
		}
	}
	return out
}

// match reads from, to and when, which are of the same form in both kinds.
func (r *reader) match(field string, in *v1alpha1.Rule) model.AuthorizationRule {
	rule := &securityapi.Rule{}
	text, err := json.Marshal(struct {
		From []v1alpha1.From      `json:"from,omitempty"`
		To   []v1alpha1.To        `json:"to,omitempty"`
		When []v1alpha1.Condition `json:"when,omitempty"`
	}{in.From, in.To, in.When})
	if err == nil {
		err = json.Unmarshal(text, rule)
	}
	if err != nil {
		r.refuse(field, "what it matches can't be read; correct from, to and when")
		return model.AuthorizationRule{}
	}
	out, problems, usable := security.Matches(r.origin, r.settings, field, rule)
	r.problems = append(r.problems, problems...)
	r.broken = r.broken || !usable
	return out
}

var plainKeys = map[string]model.RateKeyKind{
	"source.principal": model.KeyPrincipal, "remote.ip": model.KeyAddress,
	"request.path": model.KeyPath, "request.method": model.KeyMethod, "request.host": model.KeyHost,
}

// keyOf a text, as conditions of AuthorizationPolicies write attributes.
func keyOf(text string) (model.RateKey, bool) {
	name, path, ok := model.Condition{Key: text}.Attribute()
	switch kind, plain := plainKeys[name]; {
	case !ok || len(text) > 256:
	case plain:
		return model.RateKey{Kind: kind}, len(path) == 0
	case name == "request.headers" && len(path) == 1:
		header := strings.ToLower(path[0])
		return model.RateKey{Kind: model.KeyHeader, Path: []string{header}}, isHeader(header)
	case name == "request.auth.claims" && len(path) > 0:
		return model.RateKey{Kind: model.KeyClaim, Path: path}, true
	}
	return model.RateKey{}, false
}

func isName(name string) bool {
	bad := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, bad) && !strings.HasPrefix(name, "-") && !strings.HasSuffix(name, "-")
}
