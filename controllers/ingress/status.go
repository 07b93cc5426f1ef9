// SPDX-License-Identifier: Apache-2.0

// Package ingress writes to the status of each Ingress that the mesh serves where
// its gateway is reached, and makes an Event of what is wrong with it. What the
// Ingresses say is controlplane/ingest/ingress's matter; this comes after the mesh
// that is made of them.
package ingress

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Wanted says which Ingresses are to tell the addresses of which Service.
type Wanted struct {
	// Namespace and Service of the gateway.
	Namespace, Service string
	// Ingresses as "namespace/name".
	Ingresses []string

	events []telling
}

// defaultService is the name that Istio's charts give the gateway's Service.
const defaultService = "istio-ingressgateway"

// WantedOf a mesh's settings and the Ingresses that it serves.
func WantedOf(s *model.Settings, ingresses []string) Wanted {
	w := Wanted{Namespace: s.RootNamespace, Service: s.Ingress.Service, Ingresses: ingresses}
	if w.Service == "" {
		w.Service = defaultService
	}
	return w
}

// addresses at which a Service is reached from outside: its external IPs, and
// what its load balancer has.
func addresses(s *corev1.Service) []networking.IngressLoadBalancerIngress {
	var out []networking.IngressLoadBalancerIngress
	for _, ip := range s.Spec.ExternalIPs {
		if _, err := netip.ParseAddr(ip); err == nil {
			out = append(out, networking.IngressLoadBalancerIngress{IP: ip})
		}
	}
	for _, i := range s.Status.LoadBalancer.Ingress {
		out = append(out, networking.IngressLoadBalancerIngress{IP: i.IP, Hostname: i.Hostname})
	}
	return out
}
