// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// references follows the references of one route, and remembers what it found.
type references struct {
	*index
	from referrer
	// enforce ReferenceGrants: a mesh's routes need none, for a caller may call
	// any service by itself.
	enforce bool
	// transport of the ports that can be sent to.
	transport corev1.Protocol
	refs      fault
	backends  []name
}

// destination of a backend reference; field says where it stands.
func (r *references) destination(field string, ref gateway.BackendObjectReference, weight *int32) model.Destination {
	d := model.Destination{Weight: 1}
	if weight != nil {
		d.Weight = uint32(max(*weight, 0))
	}
	group, kind := string(deref(ref.Group, groupCore)), string(deref(ref.Kind, kindService))
	to := name{string(deref(ref.Namespace, gateway.Namespace(r.from.namespace))), string(ref.Name)}
	d.Port = uint16(max(min(deref(ref.Port, 0), 65535), 0))
	var f fault
	switch {
	case group == groupCore && kind == kindService, group == groupMCS && kind == kindImport:
		d.Host = model.Hostname(r.host(to))
		f = r.permit(group, kind, to)
		if f.none() {
			f = r.find(kind, to, deref(ref.Port, 0))
		}
		r.backends = append(r.backends, to)
	case group == groupIstio && kind == kindHostname:
		d.Host = model.Hostname(ref.Name)
		if _, ok := slices.BinarySearch(r.in.Hostnames, d.Host); !ok {
			f = faultf(gateway.RouteReasonBackendNotFound, "No service of the mesh has the hostname %q.", ref.Name)
		}
		if d.Port == 0 {
			f = faultf(gateway.RouteReasonUnsupportedValue, "There is no port: name one.")
		}
	default:
		d.Host = "invalid"
		f = faultf(gateway.RouteReasonInvalidKind, "%s is not a kind that can be sent to: name a Service, a ServiceImport of %s or a Hostname of %s.",
			qualified(group, kind), groupMCS, groupIstio)
	}
	if !f.none() {
		d.Invalid = f.message
		f.message = field + ": " + f.message
		r.refs.firm(f)
	}
	return d
}

func (r *references) permit(group, kind string, to name) fault {
	if !r.enforce || r.permitted(r.from, group, kind, to) {
		return fault{}
	}
	return notPermitted(r.from, kind, to)
}

// find is why there is no such port to send to.
func (r *references) find(kind string, to name, port gateway.PortNumber) fault {
	if port == 0 {
		return faultf(gateway.RouteReasonUnsupportedValue, "There is no port: name one of %s %s.", kind, to)
	}
	var has func(p int32, protocol corev1.Protocol) bool
	if kind == kindImport {
		s := r.imports[to]
		if s == nil {
			return faultf(gateway.RouteReasonBackendNotFound, "There is no ServiceImport %s.", to)
		}
		has = func(p int32, protocol corev1.Protocol) bool {
			return slices.ContainsFunc(s.Spec.Ports, func(sp mcs.ServicePort) bool { return sp.Port == p && same(sp.Protocol, protocol) })
		}
	} else {
		s := r.services[to]
		if s == nil {
			return faultf(gateway.RouteReasonBackendNotFound, "There is no Service %s.", to)
		}
		if s.Spec.Type == corev1.ServiceTypeExternalName {
			// It would reach what its writer may not (CVE-2021-25740).
			return faultf(gateway.RouteReasonUnsupportedValue, "Service %s is of type ExternalName: use a ServiceEntry and a backend of kind Hostname.", to)
		}
		has = func(p int32, protocol corev1.Protocol) bool {
			return slices.ContainsFunc(s.Spec.Ports, func(sp corev1.ServicePort) bool { return sp.Port == p && same(sp.Protocol, protocol) })
		}
	}
	protocol := r.transport
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	if !has(port, protocol) {
		return faultf(gateway.RouteReasonBackendNotFound, "%s %s has no %s port %d.", kind, to, protocol, port)
	}
	return fault{}
}

func same(a, b corev1.Protocol) bool { return a == b || a == "" && b == corev1.ProtocolTCP }

// all destinations of a rule without filters of their own.
func (r *references) all(rule string, refs []gateway.BackendRef) []model.Destination {
	var all []model.Destination
	for i, ref := range refs {
		all = append(all, r.destination(fmt.Sprintf("%s.backendRefs[%d]", rule, i), ref.BackendObjectReference, ref.Weight))
	}
	return all
}
