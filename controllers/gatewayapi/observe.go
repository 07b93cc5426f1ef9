// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"net/netip"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

type (
	ownerReference = metav1.OwnerReference
	uid            = types.UID
)

// observe tells what a Gateway's Service and Deployment show; each may be nil.
// Suffix is the cluster's DNS suffix.
func observe(d *gatewayapi.Deployment, service *corev1.Service, deployment *appsv1.Deployment, suffix string) gatewayapi.Deployed {
	seen := gatewayapi.Deployed{Asked: d.Addresses}
	if deployment != nil {
		seen.Ready = deployment.Status.AvailableReplicas
	}
	if d.Existing != "" {
		seen.Ready = 1 // whose they are, they know better
		seen.Asked = nil
	}
	if service != nil {
		seen.Addresses = addresses(service, suffix)
	}
	return seen
}

// addresses that reach a Service, from the outside where it has such.
func addresses(s *corev1.Service, suffix string) []gateway.GatewayStatusAddress {
	var out []gateway.GatewayStatusAddress
	add := func(t gateway.AddressType, value string) {
		// The API takes sixteen.
		if value != "" && len(out) < 16 {
			out = append(out, gateway.GatewayStatusAddress{Type: &t, Value: value})
		}
	}
	switch s.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		for _, i := range s.Status.LoadBalancer.Ingress {
			if _, err := netip.ParseAddr(i.IP); err == nil {
				add(gateway.IPAddressType, i.IP)
			} else {
				add(gateway.HostnameAddressType, i.Hostname)
			}
		}
	case corev1.ServiceTypeNodePort:
		add(gateway.HostnameAddressType, s.Name+"."+s.Namespace+".svc."+suffix)
	default:
		for _, ip := range s.Spec.ClusterIPs {
			if ip != corev1.ClusterIPNone {
				add(gateway.IPAddressType, ip)
			}
		}
	}
	return out
}
