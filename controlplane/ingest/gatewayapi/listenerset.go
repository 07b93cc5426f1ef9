// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// setState is what is known of one ListenerSet for a Gateway of ours. One that
// the Gateway doesn't let in has no listeners.
type setState struct {
	object    *gateway.ListenerSet
	of        Object
	gateway   Object
	listeners []*listener
	accept    fault
}

// newSets attaches the ListenerSets to their Gateways, the oldest first. Those
// that may not are returned.
func (x *index) newSets(gateways map[name]*gatewayState) (refused []*setState) {
	sets := slices.Clone(x.in.ListenerSets)
	slices.SortFunc(sets, func(a, b *gateway.ListenerSet) int {
		return originOf(kindListenerSet, a).Older(originOf(kindListenerSet, b))
	})
	for _, o := range sets {
		r := o.Spec.ParentRef
		if deref(r.Group, gateway.GroupName) != gateway.GroupName || deref(r.Kind, kindGateway) != kindGateway {
			continue
		}
		g := gateways[name{string(deref(r.Namespace, gateway.Namespace(o.Namespace))), string(r.Name)}]
		if g == nil {
			continue
		}
		s := &setState{object: o, of: objectOf(kindListenerSet, o), gateway: g.of}
		if !x.allowsSets(g, o.Namespace) {
			s.accept = faultf(gateway.ListenerSetReasonNotAllowed,
				"Gateway %s/%s takes no ListenerSets of this namespace: its spec.allowedListeners must.", g.of.Namespace, g.of.Name)
			refused = append(refused, s)
			continue
		}
		if !g.accept.none() {
			s.accept = faultf(gateway.ListenerSetReasonParentNotAccepted, "Gateway %s/%s is not accepted.", g.of.Namespace, g.of.Name)
			refused = append(refused, s)
			continue
		}
		for _, entry := range o.Spec.Listeners {
			s.listeners = append(s.listeners, x.newListener(gateway.Listener(entry), s.of, g.of))
		}
		g.sets = append(g.sets, s)
	}
	return refused
}

// allowsSets is true when a Gateway takes ListenerSets of a namespace; by
// default it takes none.
func (x *index) allowsSets(g *gatewayState, namespace string) bool {
	a := g.object.Spec.AllowedListeners
	if a == nil || a.Namespaces == nil {
		return false
	}
	return x.selects(deref(a.Namespaces.From, gateway.NamespacesFromNone), a.Namespaces.Selector, g.of.Namespace, namespace)
}

// finish: without a listener that can be served the set isn't accepted.
func (s *setState) finish() {
	if !slices.ContainsFunc(s.listeners, (*listener).usable) {
		s.accept.first(faultf(gateway.ListenerSetReasonListenersNotValid, "No listener can be served: see their conditions."))
	}
}

func (s *setState) status() *ListenerSetStatus {
	accepted := good(gateway.ListenerSetConditionAccepted, gateway.ListenerSetReasonAccepted, s.accept, s.of.Generation)
	out := &ListenerSetStatus{Object: s.of, Gateway: s.gateway, programmed: s.accept}
	for _, l := range s.listeners {
		if s.accept.none() && !l.accepted() {
			accepted.Reason = string(gateway.ListenerSetReasonListenersNotValid)
			accepted.Message = "Some listeners are not accepted: see their conditions."
		}
		out.Listeners = append(out.Listeners, gateway.ListenerEntryStatus{
			Name: l.spec.Name, SupportedKinds: l.kinds, AttachedRoutes: int32(len(l.attached)), Conditions: l.conditions(),
		})
		out.broken = append(out.broken, l.broken())
	}
	out.Conditions = []metav1.Condition{accepted}
	return out
}
