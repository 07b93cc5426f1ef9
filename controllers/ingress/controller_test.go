// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func TestRound(t *testing.T) {
	service := func(name string, ips ...string) *corev1.Service {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: name}}
		for _, ip := range ips {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
		}
		return s
	}
	named := service("named")
	named.Spec.ExternalIPs = []string{"192.0.2.1"}
	named.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}}
	was := []networking.IngressLoadBalancerIngress{{IP: "198.51.100.9"}}
	for name, c := range map[string]struct {
		settings model.IngressSettings
		services []*corev1.Service
		want     []networking.IngressLoadBalancerIngress
		writes   int
	}{
		"Default":         {services: []*corev1.Service{service("istio-ingressgateway", "192.0.2.7")}, want: []networking.IngressLoadBalancerIngress{{IP: "192.0.2.7"}}, writes: 1},
		"ByName":          {settings: model.IngressSettings{Service: "named"}, services: []*corev1.Service{named}, want: []networking.IngressLoadBalancerIngress{{IP: "192.0.2.1"}, {Hostname: "lb.example.com"}}, writes: 1},
		"NoServiceNoNews": {want: was},
		"NoAddressYet":    {services: []*corev1.Service{service("istio-ingressgateway")}, writes: 1},
		"AsItIs":          {services: []*corev1.Service{service("istio-ingressgateway", "198.51.100.9")}, want: was},
	} {
		t.Run(name, func(t *testing.T) {
			o := &networking.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "front"}}
			o.Status.LoadBalancer.Ingress = was
			kube := fake.NewClientset(o)
			for _, s := range c.services {
				if err := kube.Tracker().Add(s); err != nil {
					t.Fatal(err)
				}
			}
			w := WantedOf(&model.Settings{RootNamespace: "istio-system", Ingress: c.settings}, []string{"shop/front", "shop/gone"})
			controller := &Controller{Kube: kube, Wanted: func() (Wanted, bool) { return w, true }}
			for range 2 {
				if err := controller.round(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			got, err := kube.NetworkingV1().Ingresses("shop").Get(t.Context(), "front", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got.Status.LoadBalancer.Ingress); d != "" {
				t.Error(d)
			}
			writes := 0
			for _, a := range kube.Actions() {
				if a.GetVerb() == "update" {
					writes++
				}
			}
			if writes != c.writes {
				t.Errorf("%d writes, want %d", writes, c.writes)
			}
		})
	}
}
