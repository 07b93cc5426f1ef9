// SPDX-License-Identifier: Apache-2.0

package gatewayapi_test

import (
	"math/rand"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
	"sigs.k8s.io/randfill"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestHostile builds objects that no API server would let in: every field may be
// absent or anything. Nothing panics, and the same input gives the same output.
func TestHostile(t *testing.T) {
	for seed := range int64(400) {
		fill := randfill.New().RandSource(rand.NewSource(seed)).NilChance(0.3).NumElements(0, 3).MaxDepth(12).Funcs(
			func(s *string, c randfill.Continue) { *s = word(c) },
			func(n *gateway.ObjectName, c randfill.Continue) { *n = gateway.ObjectName(word(c)) },
			func(k *gateway.Kind, c randfill.Continue) { *k = gateway.Kind(word(c)) },
			func(g *gateway.Group, c randfill.Continue) { *g = gateway.Group(word(c)) },
			func(n *gateway.Namespace, c randfill.Continue) { *n = gateway.Namespace(word(c)) },
			func(h *gateway.Hostname, c randfill.Continue) { *h = gateway.Hostname(word(c)) },
			func(s *gateway.SectionName, c randfill.Continue) { *s = gateway.SectionName(word(c)) },
			func(p *gateway.ProtocolType, c randfill.Continue) { *p = gateway.ProtocolType(word(c)) },
			func(p *gateway.GatewayController, c randfill.Continue) { *p = gateway.GatewayController(word(c)) },
			func(f *gateway.HTTPRouteFilterType, c randfill.Continue) { *f = gateway.HTTPRouteFilterType(word(c)) },
			func(f *gateway.FromNamespaces, c randfill.Continue) { *f = gateway.FromNamespaces(word(c)) },
			func(d *gateway.Duration, c randfill.Continue) { *d = gateway.Duration(word(c)) },
			func(*metav1.Time, randfill.Continue) {},
			func(o *metav1.ObjectMeta, c randfill.Continue) {
				*o = metav1.ObjectMeta{Name: word(c), Namespace: word(c), Generation: c.Int63n(9), Annotations: map[string]string{word(c): word(c)}}
			},
		)
		in := gatewayapi.Input{Settings: &model.Settings{DomainSuffix: "cluster.local"}}
		for range 4 {
			in.GatewayClasses = append(in.GatewayClasses, one[gateway.GatewayClass](fill))
			in.Gateways = append(in.Gateways, one[gateway.Gateway](fill))
			in.ListenerSets = append(in.ListenerSets, one[gateway.ListenerSet](fill))
			in.HTTPRoutes = append(in.HTTPRoutes, one[gateway.HTTPRoute](fill))
			in.GRPCRoutes = append(in.GRPCRoutes, one[gateway.GRPCRoute](fill))
			in.TLSRoutes = append(in.TLSRoutes, one[gateway.TLSRoute](fill))
			in.TCPRoutes = append(in.TCPRoutes, one[gateway.TCPRoute](fill))
			in.UDPRoutes = append(in.UDPRoutes, one[gateway.UDPRoute](fill))
			in.ReferenceGrants = append(in.ReferenceGrants, one[gatewayv1beta1.ReferenceGrant](fill))
			in.BackendTLSPolicies = append(in.BackendTLSPolicies, one[gateway.BackendTLSPolicy](fill))
			in.Namespaces = append(in.Namespaces, one[corev1.Namespace](fill))
			in.Services = append(in.Services, one[corev1.Service](fill))
		}
		// Whatever the classes are, some gateways are ours.
		for i, c := range in.GatewayClasses {
			if i%2 == 0 {
				c.Spec.ControllerName, c.Spec.ParametersRef = gatewayapi.ControllerName, nil
			}
			in.Gateways[i].Spec.GatewayClassName = gateway.ObjectName(c.Name)
		}
		first, second := show(gatewayapi.Build(in, nil)), show(gatewayapi.Build(in, nil))
		if first != second {
			t.Fatalf("seed %d: the same input gives another output:\n%s", seed, cmp.Diff(first, second))
		}
	}
}

func one[T any](fill *randfill.Filler) *T {
	o := new(T)
	fill.Fill(o)
	return o
}

// word is short, so that objects meet, and now and then strange.
func word(c randfill.Continue) string {
	words := []string{
		"a", "b", "shop", "edge", "web", "", "*", "*.example.com", "a.example.com", "Gateway", "ListenerSet", "Service", "Secret", "ConfigMap", "HTTPRoute",
		"gateway.networking.k8s.io", "HTTP", "HTTPS", "TLS", "TCP", "UDP", "Terminate", "Passthrough", "Same", "All", "Selector", "None",
		"istio.io/gateway-controller", "RequestMirror", "CORS", "URLRewrite", "RequestRedirect", "RequestHeaderModifier", "ExtensionRef", "10s", "-1s", "(", "\x00\n",
		"IPAddress", "Hostname", "web.shop.svc.cluster.local",
	}
	return words[c.Intn(len(words))]
}

// TestShared: an input that says the same keeps every pointer.
func TestShared(t *testing.T) {
	in := gatewayapi.Input{Settings: &model.Settings{DomainSuffix: "cluster.local"}}
	in.GatewayClasses = []*gateway.GatewayClass{{ObjectMeta: metav1.ObjectMeta{Name: "istio"}, Spec: gateway.GatewayClassSpec{ControllerName: gatewayapi.ControllerName}}}
	make2 := func(name string, hostname gateway.Hostname) {
		in.Gateways = append(in.Gateways, &gateway.Gateway{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec:       gateway.GatewaySpec{GatewayClassName: "istio", Listeners: []gateway.Listener{{Name: "http", Port: 80, Protocol: gateway.HTTPProtocolType}}},
		})
		r := &gateway.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		r.Spec.ParentRefs = []gateway.ParentReference{{Name: gateway.ObjectName(name)}}
		r.Spec.Hostnames = []gateway.Hostname{hostname}
		r.Spec.Rules = []gateway.HTTPRouteRule{{}}
		in.HTTPRoutes = append(in.HTTPRoutes, r)
	}
	make2("one", "one.example.com")
	make2("two", "two.example.com")
	first := gatewayapi.Build(in, nil)
	changed := *in.HTTPRoutes[1]
	changed.Spec.Hostnames = []gateway.Hostname{"three.example.com"}
	in.HTTPRoutes = []*gateway.HTTPRoute{in.HTTPRoutes[0], &changed}
	second := gatewayapi.Build(in, first)
	if len(second.Routings) != 2 || second.Routings[0] != first.Routings[0] || second.Routings[1] == first.Routings[1] {
		t.Error("one routing changed, the other one did not: only the one is to be new")
	}
	if &second.Gateways[0] != &first.Gateways[0] {
		t.Error("gateways did not change and are another slice")
	}
}
