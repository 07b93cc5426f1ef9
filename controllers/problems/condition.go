// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Reconciled is the condition's type, Istio's own: True when the mesh does all
// that the object says, or all but what it warns of; False when a part of the
// object is refused, or loses to another object.
const Reconciled = "Reconciled"

// reasonFine is the reason of an object that nothing is wrong with.
const reasonFine = "Reconciled"

// warnings are the reasons for which an object is usable as it is: what it asks
// for beside is not done. All others refuse a part of it.
var warnings = map[string]bool{"NotSupported": true, "NoEffect": true}

// most Problems that one condition tells; who mends them sees the others.
const most = 8

// Warns is true for a Problem that leaves its object usable.
func Warns(p model.Problem) bool { return warnings[p.Reason] }

// Condition is what Problems say of the one object that they are all about,
// without a time and a generation. What refuses a part of the object comes
// before what warns; each names the field and what mends it. The same Problems
// make the same condition, whatever their order.
func Condition(problems []model.Problem) metav1.Condition {
	if len(problems) == 0 {
		return status.True(Reconciled, reasonFine, "")
	}
	sorted := slices.Clone(problems)
	slices.SortFunc(sorted, func(a, b model.Problem) int {
		return cmp.Or(cmp.Compare(weight(a), weight(b)), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
	})
	sorted = slices.Compact(sorted)
	var told []string
	for i, p := range sorted {
		if i == most {
			told = append(told, "and more: mend these first")
			break
		}
		text := p.Message
		if p.Field != "" {
			text = p.Field + ": " + text
		}
		told = append(told, text)
	}
	message := strings.Join(told, "; ")
	if Warns(sorted[0]) {
		return status.True(Reconciled, word(sorted[0].Reason), "%s", message)
	}
	return status.False(Reconciled, word(sorted[0].Reason), "%s", message)
}

func weight(p model.Problem) int {
	if Warns(p) {
		return 1
	}
	return 0
}

// word is a reason that the API takes; it never is empty.
func word(reason string) string {
	if reason == "" {
		return "Problem"
	}
	return reason
}

// Conditions are what Problems say of each object that gets conditions. The
// Gateway API has a kind of the name Gateway too, which has conditions of its
// own: gatewayAPI tells whether it has one of this name, and then only fields
// that Istio's has are about Istio's. It may be nil.
func Conditions(problems []model.Problem, gatewayAPI func(namespace, name string) bool) map[Object]metav1.Condition {
	by := map[Object][]model.Problem{}
	for _, p := range problems {
		o := Object{Kind: p.Kind, Namespace: p.Namespace, Name: p.Name}
		if _, ok := kinds[p.Kind]; !ok || p.Name == "" || p.Namespace == "" {
			continue
		}
		if p.Kind == "Gateway" && gatewayAPI != nil && gatewayAPI(p.Namespace, p.Name) && !ofIstioGateway(p.Field) {
			continue
		}
		by[o] = append(by[o], p)
	}
	out := make(map[Object]metav1.Condition, len(by))
	for o, list := range by {
		out[o] = Condition(list)
	}
	return out
}

func ofIstioGateway(field string) bool {
	return strings.HasPrefix(field, "spec.servers") || strings.HasPrefix(field, "spec.selector")
}
