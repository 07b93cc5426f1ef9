// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// Deployed is what is seen of the proxies of a Gateway.
type Deployed struct {
	// Failed says why they could not be made.
	Failed string
	// Ready proxies; and Addresses that reach them.
	Ready     int32
	Addresses []gateway.GatewayStatusAddress
	// Asked for: the addresses that the Service was to have.
	Asked []string
}

// fault is why nothing can be served yet.
func (d Deployed) fault() fault {
	switch missing := d.missing(); {
	case d.Failed != "":
		return faultf(gateway.GatewayReasonNoResources, "The proxies can't be made: %s", d.Failed)
	case len(missing) > 0:
		return faultf(gateway.GatewayReasonAddressNotUsable, "These addresses are not assigned: %v. Ask for one that the load balancer has.", missing)
	case len(d.Addresses) == 0:
		return faultf(gateway.GatewayReasonAddressNotAssigned, "The Service has no address yet: a load balancer must give it one; annotation %s=NodePort does without.", serviceTypeAnnotation)
	case d.Ready == 0:
		return faultf(gateway.GatewayReasonPending, "No proxy is ready yet.")
	}
	return fault{}
}

// missing addresses were asked for and not given.
func (d Deployed) missing() []string {
	var missing []string
	for _, want := range d.Asked {
		if !slices.ContainsFunc(d.Addresses, func(a gateway.GatewayStatusAddress) bool { return a.Value == want }) {
			missing = append(missing, want)
		}
	}
	return missing
}

// With is the whole status, for what is seen of its proxies. Conditions have no times.
func (s *GatewayStatus) With(d Deployed) gateway.GatewayStatus {
	f := s.programmed
	if f.none() {
		f = d.fault()
	}
	out := gateway.GatewayStatus{
		Conditions:           append(slices.Clone(s.Conditions), good(gateway.GatewayConditionProgrammed, gateway.GatewayReasonProgrammed, f, s.Generation)),
		AttachedListenerSets: &s.AttachedListenerSets,
	}
	if s.programmed.none() {
		out.Addresses = d.Addresses
	}
	for i, l := range s.Listeners {
		l.Conditions = append(slices.Clone(l.Conditions), programmedListener(s.broken[i], f, s.Generation))
		out.Listeners = append(out.Listeners, l)
	}
	return out
}

// With is the whole status, for what is seen of its Gateway's proxies.
func (s *ListenerSetStatus) With(d Deployed) gateway.ListenerSetStatus {
	f := s.programmed
	if f.none() {
		f = pending(d.fault())
	}
	out := gateway.ListenerSetStatus{
		Conditions: append(slices.Clone(s.Conditions), good(gateway.ListenerSetConditionProgrammed, gateway.ListenerSetReasonProgrammed, f, s.Generation)),
	}
	for i, l := range s.Listeners {
		l.Conditions = append(slices.Clone(l.Conditions), programmedListener(s.broken[i], d.fault(), s.Generation))
		out.Listeners = append(out.Listeners, l)
	}
	return out
}

func programmedListener(own, proxies fault, generation int64) metav1.Condition {
	if own.none() {
		own = pending(proxies)
	}
	return good(gateway.ListenerConditionProgrammed, gateway.ListenerReasonProgrammed, own, generation)
}

// pending: a listener waits for what its Gateway lacks.
func pending(f fault) fault {
	if !f.none() {
		f.reason = string(gateway.ListenerReasonPending)
	}
	return f
}
