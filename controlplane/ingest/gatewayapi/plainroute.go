// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// forward is a rule that says where to and nothing else.
type forward struct {
	name string
	to   []model.Destination
}

// plain reads a rule that only forwards.
func (b *bodyBuilder) plain(i int, rule *gateway.SectionName, backends []gateway.BackendRef) forward {
	return forward{string(deref(rule, "")), b.all(fmt.Sprintf("spec.rules[%d]", i), backends)}
}

func (x *index) tlsRoute(o *gateway.TLSRoute) *route {
	return x.route(kindTLSRoute, o, &o.Spec.CommonRouteSpec, o.Spec.Hostnames, len(o.Spec.Rules), func(b *bodyBuilder, i int) {
		f := b.plain(i, o.Spec.Rules[i].Name, o.Spec.Rules[i].BackendRefs)
		b.tls = append(b.tls, model.TLSRule{Name: f.name, Destinations: f.to})
	})
}

func (x *index) tcpRoute(o *gateway.TCPRoute) *route {
	return x.route(kindTCPRoute, o, &o.Spec.CommonRouteSpec, nil, len(o.Spec.Rules), func(b *bodyBuilder, i int) {
		f := b.plain(i, o.Spec.Rules[i].Name, o.Spec.Rules[i].BackendRefs)
		b.tcp = append(b.tcp, model.TCPRule{Name: f.name, Destinations: f.to})
	})
}

func (x *index) udpRoute(o *gateway.UDPRoute) *route {
	return x.route(kindUDPRoute, o, &o.Spec.CommonRouteSpec, nil, len(o.Spec.Rules), func(b *bodyBuilder, i int) {
		b.transport = corev1.ProtocolUDP
		f := b.plain(i, o.Spec.Rules[i].Name, o.Spec.Rules[i].BackendRefs)
		b.udp = append(b.udp, model.TCPRule{Name: f.name, Destinations: f.to})
	})
}
