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

// listener of a Gateway, or of a ListenerSet for a Gateway.
type listener struct {
	spec gateway.Listener
	// from is its object; gateway the one that serves it.
	from, gateway Object
	// ref is what the model calls it.
	ref model.GatewayRef
	// kinds of routes that it takes.
	kinds []gateway.RouteGroupKind
	// accept, clash and refs are its faults; serves is why it can't be served
	// although it is accepted.
	accept, clash, refs, serves fault
	tls                         *model.ListenerTLS
	// attached routes, each counted once.
	attached map[Object]bool
}

// reserved are the ports that the agent and Envoy listen on in every proxy pod.
var reserved = []gateway.PortNumber{15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090}

// kindsOf are the routes that a protocol can serve.
func kindsOf(l *gateway.Listener) []string {
	switch l.Protocol {
	case gateway.HTTPProtocolType, gateway.HTTPSProtocolType:
		return []string{kindHTTPRoute, kindGRPCRoute}
	case gateway.TLSProtocolType:
		if mode(l) == gateway.TLSModeTerminate {
			return []string{kindTLSRoute, kindTCPRoute}
		}
		return []string{kindTLSRoute}
	case gateway.TCPProtocolType:
		return []string{kindTCPRoute}
	case gateway.UDPProtocolType:
		return []string{kindUDPRoute}
	}
	return nil
}

func mode(l *gateway.Listener) gateway.TLSModeType {
	if l.TLS == nil || l.TLS.Mode == nil || *l.TLS.Mode == "" {
		return gateway.TLSModeTerminate
	}
	return *l.TLS.Mode
}

func groupKind(kind string) gateway.RouteGroupKind {
	group := gateway.Group(gateway.GroupName)
	return gateway.RouteGroupKind{Group: &group, Kind: gateway.Kind(kind)}
}

// newListener looks at one listener by itself.
func (x *index) newListener(spec gateway.Listener, from, of Object) *listener {
	l := &listener{spec: spec, from: from, gateway: of, attached: map[Object]bool{}, kinds: []gateway.RouteGroupKind{}}
	l.ref = model.GatewayRef{Namespace: of.Namespace, Name: of.Name, Listener: string(spec.Name)}
	if from.Kind == kindListenerSet {
		l.ref.Listener = from.Namespace + "/" + from.Name + "/" + string(spec.Name)
	}
	supported := kindsOf(&spec)
	if supported == nil {
		l.accept = faultf(gateway.ListenerReasonUnsupportedProtocol,
			"Protocol %q is not supported: use HTTP, HTTPS, TLS, TCP or UDP.", spec.Protocol)
	}
	if slices.Contains(reserved, spec.Port) {
		l.accept.first(faultf(gateway.ListenerReasonPortUnavailable, "Port %d is the proxy's own: choose another one.", spec.Port))
	}
	if spec.Port < 1 || spec.Port > 65535 {
		l.accept.first(faultf(gateway.ListenerReasonPortUnavailable, "Port %d does not exist: choose one from 1 to 65535.", spec.Port))
	}
	if h := string(deref(spec.Hostname, "")); strings.Contains(strings.TrimPrefix(h, "*."), "*") {
		l.accept.first(faultf(gateway.ListenerReasonUnsupportedValue, "Hostname %q has an asterisk inside: only a whole first label may be one.", h))
	}
	l.chooseKinds(supported)
	x.secure(l)
	return l
}

// chooseKinds are those that it allows, as far as its protocol serves them.
func (l *listener) chooseKinds(supported []string) {
	if l.spec.AllowedRoutes == nil || len(l.spec.AllowedRoutes.Kinds) == 0 {
		for _, k := range supported {
			l.kinds = append(l.kinds, groupKind(k))
		}
		return
	}
	for _, k := range l.spec.AllowedRoutes.Kinds {
		if group := deref(k.Group, gateway.GroupName); group != gateway.GroupName || !slices.Contains(supported, string(k.Kind)) {
			l.refs.first(faultf(gateway.ListenerReasonInvalidRouteKinds,
				"Routes of kind %s can't be attached to a listener of protocol %s: allow %s.", qualified(string(group), string(k.Kind)), l.spec.Protocol, orNone(supported)))
			continue
		}
		l.kinds = append(l.kinds, groupKind(string(k.Kind)))
	}
}

func qualified(group, kind string) string {
	if group == "" || group == gateway.GroupName {
		return kind
	}
	return group + "/" + kind
}

func orNone(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, " or ")
}

// usable listeners are served.
func (l *listener) usable() bool { return l.accept.none() && l.clash.none() && l.serves.none() }

// accepted listeners are well formed, whether or not they can be served now.
func (l *listener) accepted() bool { return l.accept.none() && l.clash.none() }

// takes is true for routes of a kind and a namespace.
func (l *listener) takes(x *index, kind, namespace string) bool {
	if !slices.ContainsFunc(l.kinds, func(k gateway.RouteGroupKind) bool { return string(k.Kind) == kind }) {
		return false
	}
	from := gateway.NamespacesFromSame
	var selector *metav1.LabelSelector
	if a := l.spec.AllowedRoutes; a != nil && a.Namespaces != nil {
		from, selector = deref(a.Namespaces.From, from), a.Namespaces.Selector
	}
	return x.selects(from, selector, l.from.Namespace, namespace)
}

// conditions but Programmed, which who knows the proxies adds.
func (l *listener) conditions() []metav1.Condition {
	g := l.from.Generation
	accept := l.accept
	accept.first(l.clash)
	return []metav1.Condition{
		good(gateway.ListenerConditionAccepted, gateway.ListenerReasonAccepted, accept, g),
		bad(gateway.ListenerConditionConflicted, gateway.ListenerReasonNoConflicts, l.clash, g),
		good(gateway.ListenerConditionResolvedRefs, gateway.ListenerReasonResolvedRefs, l.refs, g),
	}
}

// broken is why it will not be programmed.
func (l *listener) broken() fault {
	switch {
	case !l.clash.none():
		return l.clash
	case !l.accept.none():
		return faultf(gateway.ListenerReasonInvalid, "%s", l.accept.message)
	case !l.serves.none():
		return faultf(gateway.ListenerReasonInvalid, "%s", l.serves.message)
	}
	return fault{}
}

var protocols = map[gateway.ProtocolType]model.ListenerProtocol{
	gateway.HTTPProtocolType: model.ListenHTTP, gateway.HTTPSProtocolType: model.ListenHTTPS, gateway.TLSProtocolType: model.ListenTLS,
	gateway.TCPProtocolType: model.ListenTCP, gateway.UDPProtocolType: model.ListenUDP,
}

// model of it. Which routes it takes is already decided by what they are bound
// to, so its host takes them of any namespace.
func (l *listener) model() model.Listener {
	host := strings.ToLower(string(deref(l.spec.Hostname, "")))
	if host == "" {
		host = "*"
	}
	return model.Listener{
		Name: l.ref.Listener, Port: uint16(l.spec.Port), Protocol: protocols[l.spec.Protocol],
		Hosts: []model.ListenerHost{{Host: host}}, TLS: l.tls, Invalid: !l.usable(),
	}
}

// deploymentPort is what the Service needs for it.
func (l *listener) deploymentPort() DeploymentPort {
	protocol := "TCP"
	if l.spec.Protocol == gateway.UDPProtocolType {
		protocol = "UDP"
	}
	return DeploymentPort{Name: fmt.Sprintf("%s-%d", strings.ToLower(protocol), l.spec.Port), Number: l.spec.Port, Protocol: protocol}
}
