// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// mostAddresses of a gateway that other members are told.
const mostAddresses = 16

// gatewayPort is the name of the port between networks in the gateway's Service.
const gatewayPort = "tls"

// findAddress learns where other members reach the gateway: what the member's
// spec says, else what the gateway's Service does.
func findAddress(ctx context.Context, c client.Client, member *v1alpha1.MeshMember, federation *v1alpha1.MeshFederation) (*Address, error) {
	if asked := member.Spec.Gateway; len(asked.Addresses) > 0 {
		return &Address{Found: join(asked.Addresses, cmp.Or(asked.Port, federation.Spec.EastWestGateway.Port, defaultPort))}, nil
	}
	var service corev1.Service
	key := client.ObjectKey{Namespace: v1alpha1.SystemNamespace, Name: gatewayName}
	if err := c.Get(ctx, key, &service); err != nil {
		return nil, fmt.Errorf("read Service %s: %w", key, err)
	}
	var nodes corev1.NodeList
	if service.Spec.Type == corev1.ServiceTypeNodePort {
		if err := c.List(ctx, &nodes); err != nil {
			return nil, fmt.Errorf("list Nodes: %w", err)
		}
	}
	return addressOf(&service, nodes.Items, member.Spec.Gateway.Port), nil
}

// addressOf reads addresses from the gateway's Service. A port that is not 0
// stands for the Service's own.
func addressOf(service *corev1.Service, nodes []corev1.Node, port int32) *Address {
	i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == gatewayPort })
	if i < 0 {
		return pending("Service %s/%s has no port named %q: take service.ports out of spec.eastWestGateway.values, or name one so", service.Namespace, service.Name, gatewayPort)
	}
	hosts, own := []string(nil), service.Spec.Ports[i].Port
	switch service.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if host := ingress.IP; host != "" {
				hosts = append(hosts, host)
			} else if ingress.Hostname != "" {
				hosts = append(hosts, ingress.Hostname)
			}
		}
	case corev1.ServiceTypeNodePort:
		hosts, own = nodeAddresses(nodes), service.Spec.Ports[i].NodePort
	}
	if len(hosts) == 0 {
		return pending("%s", pendingHint(service))
	}
	if port == 0 {
		port = own
	}
	return &Address{Found: join(hosts, port)}
}

func pendingHint(service *corev1.Service) string {
	const override = "or give spec.gateway.addresses of the MeshMember"
	switch service.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		return fmt.Sprintf("Service %s/%s has no load balancer address yet: if the cluster has no load balancer, or its Services share one whose ports another Service has, set spec.eastWestGateway.serviceType of the MeshFederation to NodePort, %s", service.Namespace, service.Name, override)
	case corev1.ServiceTypeNodePort:
		return fmt.Sprintf("no ready Node has an address for Service %s/%s: wait for one, %s", service.Namespace, service.Name, override)
	default:
		return fmt.Sprintf("Service %s/%s is of type %s, which is not reached from outside: %s", service.Namespace, service.Name, service.Spec.Type, override[len("or "):])
	}
}

// ownAddress is what was found, unless an older member of the federation is
// reached there already: what is sent to one would come to the other. Members
// of other federations never call it and may have the same private address.
func ownAddress(a *Address, member *v1alpha1.MeshMember, others []v1alpha1.MeshMember) *Address {
	for i := range others {
		other := &others[i]
		if other.UID == member.UID || other.Namespace != member.Namespace || other.Status.Federation != member.Status.Federation || !older(other, member) {
			continue
		}
		for _, at := range a.Found {
			if slices.Contains(other.Status.Gateway.Addresses, at) {
				return &Address{Problem: &Problem{v1alpha1.ReasonGatewayAddressConflict, fmt.Sprintf(
					"%s is where MeshMember %q is reached already, and what is sent to one would come to the other: give each member's gateway an address or a port of its own, in spec.gateway of this MeshMember or by the Service's load balancer",
					at, other.Name)}}
			}
		}
	}
	return a
}

// nodeAddresses of ready nodes: external ones when any node has one, else internal ones.
func nodeAddresses(nodes []corev1.Node) []string {
	byType := map[corev1.NodeAddressType][]string{}
	for _, n := range nodes {
		ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		if !ready {
			continue
		}
		for _, a := range n.Status.Addresses {
			byType[a.Type] = append(byType[a.Type], a.Address)
		}
	}
	if external := byType[corev1.NodeExternalIP]; len(external) > 0 {
		return external
	}
	return byType[corev1.NodeInternalIP]
}

func pending(format string, args ...any) *Address {
	return &Address{Problem: &Problem{v1alpha1.ReasonGatewayAddressPending, fmt.Sprintf(format, args...)}}
}

// join makes host:port of hosts, sorted, each once, not too many.
func join(hosts []string, port int32) []string {
	sorted := slices.Clone(hosts)
	slices.SortFunc(sorted, func(a, b string) int {
		x, errX := netip.ParseAddr(a)
		y, errY := netip.ParseAddr(b)
		if errX == nil && errY == nil {
			return x.Compare(y)
		}
		return strings.Compare(a, b)
	})
	sorted = slices.Compact(sorted)
	if len(sorted) > mostAddresses {
		sorted = sorted[:mostAddresses]
	}
	out := make([]string, len(sorted))
	for i, host := range sorted {
		out[i] = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(int(port)))
	}
	return out
}
