// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"fmt"
	"slices"
	"strings"
)

// number of the port that is called in every context.
const number = 1700

// protocols of a port, as names of ports in Kubernetes spell them.
var protocols = []string{"http", "http2", "grpc", "https", "tls", "tcp", "", "mongo", "udp"}

// backend is a service of one port, which calls go to.
type backend struct {
	name, host string
	// entry is the ServiceEntry's spec; empty for a Service of Kubernetes.
	entry     string
	clusterIP string
	// common: ports of all protocols are looked at, else some.
	common bool
}

// backends are all ways to find endpoints.
var backends = []backend{
	{name: "ClusterIP", host: "svc.shop.svc.cluster.local", clusterIP: "10.96.0.20", common: true},
	{name: "Headless", host: "svc.shop.svc.cluster.local", clusterIP: "None"},
	{name: "STATIC", host: "svc.example.com", entry: "resolution: STATIC, addresses: [192.0.2.20], endpoints: [{address: 192.0.2.21, locality: eu/eu-1, labels: {version: v1}}, {address: 192.0.2.22, locality: us/us-1}]", common: true},
	{name: "DNS", host: "svc.example.com", entry: "resolution: DNS, endpoints: [{address: a.example.com, locality: eu/eu-1, labels: {version: v1}}, {address: b.example.com, locality: us/us-1}]"},
	{name: "DNS_ROUND_ROBIN", host: "svc.example.com", entry: "resolution: DNS_ROUND_ROBIN"},
	{name: "NONE", host: "svc.example.com", entry: "resolution: NONE"},
	{name: "DYNAMIC_DNS", host: "*.wild.example.com", entry: "resolution: DYNAMIC_DNS"},
}

// takes is false for ports that a ServiceEntry can't have; it is told so.
func (b backend) takes(protocol string) bool {
	return b.entry == "" || protocol != "udp" && (b.name != "DYNAMIC_DNS" || protocol != "tcp")
}

// text of the backend whose port has a protocol.
func (b backend) text(protocol string) string {
	if b.entry != "" {
		spoken := "protocol: " + strings.ToUpper(protocol)
		if protocol == "" {
			spoken = `protocol: ""`
		}
		return fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: svc, namespace: shop}, spec: {hosts: [%q], location: MESH_EXTERNAL, ports: [{number: %d, name: port, %s}], %s}}\n",
			b.host, number, spoken, b.entry)
	}
	transport, name := "TCP", protocol
	if protocol == "udp" {
		transport = "UDP"
	}
	if protocol == "" {
		name = "port"
	}
	return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: svc, namespace: shop}, spec: {clusterIP: %[1]s, clusterIPs: [%[1]s], selector: {app: svc}, ports: [{name: %[2]s, port: %[3]d, protocol: %[4]s}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: svc-x, namespace: shop, labels: {kubernetes.io/service-name: svc}}, addressType: IPv4, ports: [{name: %[2]s, port: %[3]d, protocol: %[4]s}], endpoints: [
  {addresses: [10.244.0.21], nodeName: n1, conditions: {ready: true}, targetRef: {kind: Pod, name: svc-1, namespace: shop}},
  {addresses: [10.244.0.22], nodeName: n2, conditions: {ready: true}, targetRef: {kind: Pod, name: svc-2, namespace: shop}}]}
---
%[5]s---
%[6]s`, b.clusterIP, name, number, transport, pod("svc-1", "n1", "10.244.0.21", "app: svc, version: v1"), pod("svc-2", "n2", "10.244.0.22", "app: svc, version: v2"))
}

func pod(name, node, address, labels string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: shop, labels: {%s}}, spec: {nodeName: %s, serviceAccountName: svc, containers: [{name: istio-proxy}]}, status: {phase: Running, podIP: %s}}\n", name, labels, node, address)
}

// places where the pods are.
const places = `{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-1}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {topology.kubernetes.io/region: us, topology.kubernetes.io/zone: us-1}}}
`

// way is how calls come to the backend: from which pod, and by which rules.
type way struct {
	name string
	// rules are other objects, in which HOST and PORT are the backend's.
	rules string
	// gateway: the caller is one.
	gateway bool
	// bytes: connections are sent on.
	bytes bool
}

// sends is true for ports of protocols that are called so.
func (w way) sends(protocol string) bool {
	return !w.bytes || !slices.Contains([]string{"http", "http2", "grpc", "udp"}, protocol)
}

// caller is the pod that calls.
func (w way) caller() string {
	if w.gateway {
		return "gateway-1"
	}
	return "client-1"
}

var ways = []way{
	{name: "Sidecar"},
	{name: "SidecarRoutesRequests", rules: `{apiVersion: v1, kind: Service, metadata: {name: front, namespace: shop}, spec: {clusterIP: 10.96.0.30, clusterIPs: [10.96.0.30], ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: front, namespace: shop}, spec: {hosts: [front], http: [{route: [{destination: {host: "HOST", port: {number: PORT}}}]}]}}
`},
	{name: "GatewayEndsTLS", gateway: true, rules: `{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: front, namespace: shop}, spec: {selector: {istio: gateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: a-cert}}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: front, namespace: shop}, spec: {hosts: [front.example.com], gateways: [front], http: [{route: [{destination: {host: "HOST", port: {number: PORT}}}]}]}}
`},
	{name: "GatewaySendsBytesOn", gateway: true, bytes: true, rules: `{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: front, namespace: shop}, spec: {selector: {istio: gateway}, servers: [{port: {number: 1800, name: tcp, protocol: TCP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: front, namespace: shop}, spec: {hosts: ["*"], gateways: [front], tcp: [{route: [{destination: {host: "HOST", port: {number: PORT}}}]}]}}
`},
}

// world of a backend that is called on a way.
func (w way) world(b backend, protocol string) string {
	caller := pod("client-1", "n1", "10.244.0.10", "app: client")
	if w.gateway {
		caller = pod("gateway-1", "n1", "10.244.0.30", "app: gateway, istio: gateway")
	}
	rules := strings.NewReplacer("HOST", strings.Replace(b.host, "*", "a", 1), "PORT", fmt.Sprint(number)).Replace(w.rules)
	return strings.Join([]string{places, caller, b.text(protocol), rules}, "---\n")
}
