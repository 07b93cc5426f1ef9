// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// ConditionProgrammed is ours, on routes and policies, which have no condition of
// their own for what is valid and yet isn't in force everywhere. It is there only
// while it is False.
const ConditionProgrammed = "isthmesh.dev/Programmed"

// mostTold of the Problems with one object; the others are told when these are mended.
const mostTold = 8

// refusals of proxies, by the object that they are told on.
type refusals map[Object][]model.Problem

// Refused are the statuses as they are while proxies refuse what was made of the
// objects: those of problems whose reason is model.RejectedByProxy. A listener isn't
// Programmed; routes and policies have ConditionProgrammed. What isn't refused is
// as it was, by pointer.
func (s *Statuses) Refused(problems []model.Problem) *Statuses {
	by := refusals{}
	for _, p := range problems {
		if p.Reason == model.RejectedByProxy {
			o := Object{Kind: p.Kind, Namespace: p.Namespace, Name: p.Name}
			by[o] = append(by[o], p)
		}
	}
	if s == nil || len(by) == 0 {
		return s
	}
	out := *s
	out.Gateways, out.ListenerSets = slices.Clone(s.Gateways), slices.Clone(s.ListenerSets)
	out.Routes, out.Policies = slices.Clone(s.Routes), slices.Clone(s.Policies)
	for i, g := range out.Gateways {
		broken := by.listeners(g.Object, g.broken, func(i int) string { return fmt.Sprintf("spec.listeners[%d]", i) })
		if broken != nil {
			copied := *g
			copied.broken = broken
			out.Gateways[i] = &copied
		}
	}
	for i, l := range out.ListenerSets {
		broken := by.listeners(l.Object, l.broken, func(i int) string { return fmt.Sprintf("spec.listeners[%s]", l.Listeners[i].Name) })
		if broken != nil {
			copied := *l
			copied.broken = broken
			out.ListenerSets[i] = &copied
		}
	}
	for i, r := range out.Routes {
		if f := by.of(r.Object, ""); !f.none() {
			copied := *r
			copied.Parents = eachWith(r.Parents, func(p *gateway.RouteParentStatus) *[]metav1.Condition { return &p.Conditions }, f, r.Generation)
			out.Routes[i] = &copied
		}
	}
	for i, p := range out.Policies {
		if f := by.of(p.Object, ""); !f.none() {
			copied := *p
			copied.Ancestors = eachWith(p.Ancestors, func(a *gateway.PolicyAncestorStatus) *[]metav1.Condition { return &a.Conditions }, f, p.Generation)
			out.Policies[i] = &copied
		}
	}
	return &out
}

// of an object, what proxies refuse of a field; of all fields when it is empty.
func (r refusals) of(o Object, field string) fault {
	var told []string
	for _, p := range r[anyOf(o)] {
		if (field == "" || p.Field == field) && len(told) < mostTold && !slices.Contains(told, p.Message) {
			told = append(told, p.Message)
		}
	}
	if len(told) == 0 {
		return fault{}
	}
	return fault{model.RejectedByProxy, strings.Join(told, "; ")}
}

// anyOf is an object, of any generation.
func anyOf(o Object) Object { return Object{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name} }

// listeners of an object that are broken, those included that proxies refuse; nil
// when they refuse none.
func (r refusals) listeners(o Object, broken []fault, field func(int) string) []fault {
	if r[anyOf(o)] == nil {
		return nil
	}
	out, some := slices.Clone(broken), false
	for i := range out {
		if f := r.of(o, field(i)); !f.none() && out[i].none() {
			out[i], some = fault{string(gateway.ListenerReasonInvalid), f.message}, true
		}
	}
	if !some {
		return nil
	}
	return out
}

// eachWith puts the condition on each entry of a status.
func eachWith[T any](entries []T, conditions func(*T) *[]metav1.Condition, f fault, generation int64) []T {
	out := slices.Clone(entries)
	for i := range out {
		c := conditions(&out[i])
		*c = append(slices.Clone(*c), good(ConditionProgrammed, ConditionProgrammed, f, generation))
	}
	return out
}
