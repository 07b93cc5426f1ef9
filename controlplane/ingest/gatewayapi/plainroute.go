// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// forward is a rule that says where to and nothing else.
type forward struct {
	name string
	to   []model.Destination
}

// plain reads a route whose rules only forward; n of them, of which backends
// gives the name and the backends, and add takes what became of each.
func (x *index) plain(kind string, o metav1.Object, spec *gateway.CommonRouteSpec, transport corev1.Protocol, n int,
	backends func(i int) (*gateway.SectionName, []gateway.BackendRef), add func(*body, forward),
) *route {
	r := &route{of: objectOf(kind, o), origin: originOf(kind, o), spec: spec}
	x.checkCommon(r)
	r.body = func(refs *references) body {
		refs.transport = transport
		b := &bodyBuilder{references: refs, of: r.of}
		for i := range n {
			name, refs := backends(i)
			add(&b.body, forward{string(deref(name, "")), b.all(fmt.Sprintf("spec.rules[%d]", i), refs)})
		}
		return b.done(n)
	}
	return r
}

func (x *index) tlsRoute(o *gateway.TLSRoute) *route {
	r := x.plain(kindTLSRoute, o, &o.Spec.CommonRouteSpec, "", len(o.Spec.Rules),
		func(i int) (*gateway.SectionName, []gateway.BackendRef) {
			return o.Spec.Rules[i].Name, o.Spec.Rules[i].BackendRefs
		},
		func(b *body, f forward) { b.tls = append(b.tls, model.TLSRule{Name: f.name, Destinations: f.to}) })
	r.hosts = hostnames(o.Spec.Hostnames)
	return r
}

func (x *index) tcpRoute(o *gateway.TCPRoute) *route {
	return x.plain(kindTCPRoute, o, &o.Spec.CommonRouteSpec, "", len(o.Spec.Rules),
		func(i int) (*gateway.SectionName, []gateway.BackendRef) {
			return o.Spec.Rules[i].Name, o.Spec.Rules[i].BackendRefs
		},
		func(b *body, f forward) { b.tcp = append(b.tcp, model.TCPRule{Name: f.name, Destinations: f.to}) })
}

func (x *index) udpRoute(o *gateway.UDPRoute) *route {
	return x.plain(kindUDPRoute, o, &o.Spec.CommonRouteSpec, corev1.ProtocolUDP, len(o.Spec.Rules),
		func(i int) (*gateway.SectionName, []gateway.BackendRef) {
			return o.Spec.Rules[i].Name, o.Spec.Rules[i].BackendRefs
		},
		func(b *body, f forward) { b.udp = append(b.udp, model.TCPRule{Name: f.name, Destinations: f.to}) })
}
