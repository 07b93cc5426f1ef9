// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	api "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// delegateRef names the VirtualService that says the rest of a rule.
type delegateRef struct{ namespace, name string }

func (d delegateRef) String() string { return d.namespace + "/" + d.name }

func (r *reader) delegateRef(field string, d *api.Delegate) *delegateRef {
	out := &delegateRef{d.GetNamespace(), d.GetName()}
	if out.namespace == "" {
		out.namespace = r.origin.Namespace
	}
	if out.name == "" {
		r.refuse(field+".name", "it is empty; name a VirtualService without hosts")
	}
	return out
}

// maxRules may come out of a root and its delegates: each of many rules of the
// one may name another with many.
const (
	maxRules   = 10_000
	maxMatches = 20_000
)

// complete puts the rules of delegates in the places of the rules that name
// them. It returns a new routing, and the Problems of the root and its delegates.
func complete(root *virtualService, find func(delegateRef) *virtualService) (*model.Routing, []model.Problem) {
	routing := *root.routing
	var problems []model.Problem
	budget := maxMatches
	for _, v := range root.rules {
		if v.delegate == nil {
			routing.HTTP = append(routing.HTTP, v.rule)
			continue
		}
		field := at("spec.http", v.index) + ".delegate"
		d := find(*v.delegate)
		why := ""
		switch {
		case d == nil:
			why = "there is no VirtualService %s; the rule is left out until there is one"
		case !d.isDelegate():
			why = "VirtualService %s has hosts of its own, so it is no delegate; the rule is left out, remove its hosts or name another one"
		case !d.routing.Visible.In(root.routing.Namespace):
			why = "VirtualService %s is not exported to this namespace; the rule is left out, add the namespace to its exportTo"
		}
		if why != "" {
			problems = append(problems, routing.Problem(field, notFound, fmt.Sprintf(why, v.delegate)))
			continue
		}
		if len(routing.HTTP)+len(d.rules) > maxRules {
			problems = append(problems, routing.Problem(field, invalid, fmt.Sprintf("with this delegate there are more than %d rules; the rule is left out, use fewer", maxRules)))
			continue
		}
		rules, told := include(v, d, &budget)
		routing.HTTP = append(routing.HTTP, rules...)
		problems = append(problems, told...)
	}
	return &routing, problems
}

// include makes the rules that a root's rule and a delegate give together, as
// long as the budget of matches lasts.
func include(root virtualRule, d *virtualService, budget *int) ([]model.HTTPRule, []model.Problem) {
	var out []model.HTTPRule
	var problems []model.Problem
	for _, v := range d.rules {
		field := at("spec.http", v.index)
		if v.delegate != nil {
			problems = append(problems, d.routing.Problem(field+".delegate", notSupported,
				"a delegate can't delegate further, the rule is left out; write its routes here"))
			continue
		}
		if len(root.rule.Matches)*len(v.rule.Matches) > *budget {
			problems = append(problems, d.routing.Problem(field+".match", invalid, fmt.Sprintf(
				"with the root's matches there are more than %d; the rule is left out there, use fewer", maxMatches)))
			continue
		}
		matches, told := both(root.rule.Matches, v.rule.Matches)
		if len(matches) == 0 && len(root.rule.Matches)+len(v.rule.Matches) > 0 {
			told = append(told, "no request can match both this rule and the rule of the root that delegates to it; the rule is left out, narrow its matches to the root's")
		}
		for _, text := range slices.Compact(told) {
			problems = append(problems, d.routing.Problem(field+".match", conflict, text))
		}
		if len(matches) == 0 && len(root.rule.Matches)+len(v.rule.Matches) > 0 {
			continue
		}
		*budget -= len(matches)
		out = append(out, inherit(root.rule, v.rule, d.routing.Origin, matches))
	}
	return out, problems
}

// inherit fills what the delegate's rule leaves out from the root's.
func inherit(root, rule model.HTTPRule, by model.Origin, matches []model.HTTPMatch) model.HTTPRule {
	rule.Matches, rule.Delegate = matches, &by
	rule.Name = strings.Trim(root.Name+"-"+rule.Name, "-")
	if rule.Invalid != "" {
		return rule
	}
	rule.Rewrite, rule.Timeout = cmp.Or(rule.Rewrite, root.Rewrite), cmp.Or(rule.Timeout, root.Timeout)
	rule.Retries, rule.Fault = cmp.Or(rule.Retries, root.Retries), cmp.Or(rule.Fault, root.Fault)
	rule.CORS = cmp.Or(rule.CORS, root.CORS)
	if rule.Mirrors == nil {
		rule.Mirrors = root.Mirrors
	}
	rule.Headers.Request = joinOps(root.Headers.Request, rule.Headers.Request)
	rule.Headers.Response = joinOps(root.Headers.Response, rule.Headers.Response)
	return rule
}

// joinOps takes the root's changes too; of two on one header the delegate's holds.
func joinOps(root, own model.HeaderOps) model.HeaderOps {
	return model.HeaderOps{Set: joinHeaders(root.Set, own.Set), Add: joinHeaders(root.Add, own.Add), Remove: join(root.Remove, own.Remove)}
}

func joinHeaders(root, own []model.Header) []model.Header {
	out := slices.Clone(own)
	there := map[string]bool{}
	for _, h := range own {
		there[strings.ToLower(h.Name)] = true
	}
	for _, h := range root {
		if !there[strings.ToLower(h.Name)] {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b model.Header) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func join(root, own []string) []string {
	var out []string
	there := map[string]bool{}
	for _, s := range slices.Concat(root, own) {
		if !there[s] {
			there[s] = true
			out = append(out, s)
		}
	}
	return out
}
