// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// problems tells what the statuses say against objects, for those who read
// Problems and not statuses: the log, and analysis without a cluster.
func (s *Statuses) problems() []model.Problem {
	var all []model.Problem
	add := func(o Object, field string, conditions []metav1.Condition) {
		for _, c := range conditions {
			if against(c) {
				all = append(all, model.Problem{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Field: field, Reason: c.Reason, Message: c.Message})
			}
		}
	}
	for _, c := range s.Classes {
		add(c.Object, "spec", c.Conditions)
	}
	for _, g := range s.Gateways {
		add(g.Object, "spec", g.Conditions)
		for _, l := range g.Listeners {
			add(g.Object, fmt.Sprintf("spec.listeners[name=%s]", l.Name), l.Conditions)
		}
	}
	for _, l := range s.ListenerSets {
		add(l.Object, "spec", l.Conditions)
		for _, e := range l.Listeners {
			add(l.Object, fmt.Sprintf("spec.listeners[name=%s]", e.Name), e.Conditions)
		}
	}
	for _, r := range s.Routes {
		for _, p := range r.Parents {
			add(r.Object, fmt.Sprintf("spec.parentRefs[name=%s]", p.ParentRef.Name), p.Conditions)
		}
	}
	for _, p := range s.Policies {
		for _, a := range p.Ancestors {
			add(p.Object, "spec", a.Conditions)
		}
	}
	return all
}

// against is true for a condition that tells a fault. ListenersNotResolved only
// repeats what the listeners say.
func against(c metav1.Condition) bool {
	switch c.Type {
	case string(gateway.ListenerConditionConflicted):
		return false // Accepted says so too
	case string(gateway.RouteConditionPartiallyInvalid), string(gateway.GatewayConditionInsecureFrontendValidationMode):
		return c.Status == metav1.ConditionTrue
	}
	return c.Status == metav1.ConditionFalse && c.Reason != string(gateway.GatewayReasonListenersNotResolved)
}
