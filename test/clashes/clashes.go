// SPDX-License-Identifier: Apache-2.0

// Package clashes has pairs of objects of which one must lose. The test of a
// running control plane and that of the command line tool go through the same
// ones, because both must give the same verdicts.
package clashes

import (
	"fmt"
	"strings"
)

// Namespace that all objects are in.
const Namespace = "clashes"

// Clash is two objects that want the same. The first to be made wins, although
// its name is the later one in the alphabet.
type Clash struct {
	APIVersion, Kind string
	// Spec of both; NAME is the object's name, and what is in capitals differs: see Filled.
	Spec string
	// Field and Reason of what the loser is told; the message names the winner.
	Field, Reason string
	// InForce is a text in the configuration of the proxy of pod At ("client" or
	// "gateway") when it follows the object; empty when there is none to look at.
	InForce, At string
}

// Beside is what the objects lean on.
const Beside = `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: clashes}, spec: {clusterIP: None, ports: [{name: http, port: 80}, {name: tcp-1, port: 7001}, {name: tcp-2, port: 7002}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: ruled, namespace: clashes}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: subsets, namespace: clashes}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: front, namespace: clashes}, spec: {selector: {istio: clashing}, servers: [
  {port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*.front.example"]},
  {port: {number: 8443, name: tls, protocol: TLS}, hosts: ["*.tls.example"], tls: {mode: PASSTHROUGH}},
  {port: {number: 9001, name: tcp, protocol: TCP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: streams, namespace: clashes}, spec: {hosts: ["*"], gateways: [z-gatewaysofaportfortcp], tcp: [{route: [{destination: {host: web, port: {number: 7001}}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: streams-too, namespace: clashes}, spec: {hosts: ["*"], gateways: [a-gatewaysofaportfortcp], tcp: [{route: [{destination: {host: web, port: {number: 7002}}}]}]}}
`

const (
	networking     = "networking.istio.io/v1"
	networkingBeta = "networking.istio.io/v1beta1"
	security       = "security.istio.io/v1"
)

// All clashes, by name.
var All = map[string]Clash{
	"VirtualServicesOfAHost": {
		APIVersion: networking, Kind: "VirtualService", Spec: `{hosts: [web], http: [{headers: {request: {set: {x-from: NAME}}}, route: [{destination: {host: web}}]}]}`,
		Field: "spec.hosts", Reason: "Conflict", InForce: `"NAME"`, At: "client",
	},
	"VirtualServicesAtAGateway": {
		APIVersion: networking, Kind: "VirtualService", Spec: `{hosts: [a.front.example], gateways: [front], http: [{headers: {request: {set: {x-from: NAME}}}, route: [{destination: {host: web, port: {number: 80}}}]}]}`,
		Field: "spec.http[0]", Reason: "Conflict", InForce: `"NAME"`, At: "gateway",
	},
	"VirtualServicesWithAMatch": {
		APIVersion: networking, Kind: "VirtualService", Spec: `{hosts: [b.front.example], gateways: [front], http: [
  {match: [{uri: {exact: /NAME}}], route: [{destination: {host: web, port: {number: 80}}}]},
  {match: [{uri: {prefix: /same}}], headers: {request: {set: {x-from: NAME}}}, route: [{destination: {host: web, port: {number: 80}}}]}]}`,
		Field: "spec.http[1].match[0]", Reason: "Conflict", InForce: `"NAME"`, At: "gateway",
	},
	"VirtualServicesOfAServerName": {
		APIVersion: networking, Kind: "VirtualService", Spec: `{hosts: [a.tls.example], gateways: [front], tls: [{match: [{sniHosts: [a.tls.example]}], route: [{destination: {host: web, port: {number: PORT}}}]}]}`,
		Field: "spec.tls[0].match[0].sniHosts", Reason: "Conflict", InForce: "clashes.NAME", At: "gateway",
	},
	"VirtualServicesForTCP": {
		APIVersion: networking, Kind: "VirtualService", Spec: `{hosts: ["*"], gateways: [front], tcp: [{route: [{destination: {host: web, port: {number: PORT}}}]}]}`,
		Field: "spec.tcp[0]", Reason: "Conflict", InForce: "clashes.NAME", At: "gateway",
	},
	"GatewaysOfAServerName": {
		APIVersion: networking, Kind: "Gateway", Spec: `{selector: {istio: clashing}, servers: [{port: {number: 8443, name: https, protocol: HTTPS}, hosts: [same.example], tls: {mode: ISTIO_MUTUAL}}]}`,
		Field: "spec.servers[0].hosts", Reason: "HostConflict", InForce: `"route_config_name": "https.8443.https.NAME.clashes"`, At: "gateway",
	},
	"GatewaysOfAPortWithOtherProtocols": {
		APIVersion: networking, Kind: "Gateway", Spec: `{selector: {istio: clashing}, servers: [{port: {number: 9000, name: port, protocol: PROTOCOL}, hosts: [ports.example], tls: TLS}]}`,
		Field: "spec.servers[0].port", Reason: "PortConflict", InForce: `"route_config_name": "LISTENER"`, At: "gateway",
	},
	"GatewaysOfAPortForTCP": {
		APIVersion: networking, Kind: "Gateway", Spec: `{selector: {istio: clashing}, servers: [{port: {number: 9002, name: tcp, protocol: TCP}, hosts: ["*"]}]}`,
		Field: "spec.servers[0].port", Reason: "PortConflict", InForce: `"clashes.STREAM"`, At: "gateway",
	},
	"ServiceEntriesOfAHost": {
		APIVersion: networking, Kind: "ServiceEntry", Spec: `{hosts: [one.example], resolution: RESOLUTION, ports: [{number: PORT, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.1}]}`,
		Field: "spec.resolution", Reason: "Conflict", InForce: "outbound|PORT||one.example", At: "client",
	},
	"DestinationRulesOfAHost": {
		APIVersion: networking, Kind: "DestinationRule", Spec: `{host: ruled, trafficPolicy: {connectionPool: {tcp: {maxConnections: PORT}}}}`,
		Field: "spec.trafficPolicy", Reason: "Conflict", InForce: `"max_connections": PORT`, At: "client",
	},
	"DestinationRulesWithASubset": {
		APIVersion: networking, Kind: "DestinationRule", Spec: `{host: subsets, subsets: [{name: v1, labels: {from: NAME}, trafficPolicy: {connectionPool: {http: {http2MaxRequests: PORT}}}}]}`,
		Field: "spec.subsets[v1]", Reason: "Conflict", InForce: `"max_requests": PORT`, At: "client",
	},
	"SidecarsOfANamespace": {
		APIVersion: networking, Kind: "Sidecar", Spec: `{egress: [{port: {number: PORT, name: bound, protocol: TCP}, bind: 127.0.0.1, captureMode: NONE, hosts: ["./web.clashes.svc.cluster.local"]}, {hosts: ["./*"]}]}`,
		Field: "spec.workloadSelector", Reason: "Conflict", InForce: "127.0.0.1_PORT", At: "client",
	},
	"SidecarsWithASelector": {
		APIVersion: networking, Kind: "Sidecar", Spec: `{workloadSelector: {labels: {app: nobody}}, egress: [{hosts: ["./*"]}]}`,
		Field: "spec.workloadSelector", Reason: "Conflict",
	},
	// Proxies are given these when they start.
	"ProxyConfigsOfANamespace": {
		APIVersion: networkingBeta, Kind: "ProxyConfig", Spec: `{environmentVariables: {FROM: NAME}}`,
		Field: "spec.selector", Reason: "Conflict",
	},
	"ProxyConfigsWithASelector": {
		APIVersion: networkingBeta, Kind: "ProxyConfig", Spec: `{selector: {matchLabels: {app: client}}, environmentVariables: {FROM: NAME}}`,
		Field: "spec.selector", Reason: "Conflict",
	},
	"PeerAuthenticationsOfANamespace": {
		APIVersion: security, Kind: "PeerAuthentication", Spec: `{mtls: {mode: MODE}}`,
		Field: "spec.selector", Reason: "Conflict",
	},
	"PeerAuthenticationsWithASelector": {
		APIVersion: security, Kind: "PeerAuthentication", Spec: `{selector: {matchLabels: {app: client}}, mtls: {mode: MODE}}`,
		Field: "spec.selector", Reason: "Conflict", InForce: "INBOUND", At: "client",
	},
}

// Names of the winner and the loser of a clash.
func Names(clash string) (winner, loser string) {
	return "z-" + strings.ToLower(clash), "a-" + strings.ToLower(clash)
}

// Filled puts what an object has of its own into a text.
func Filled(text, name string) string {
	own := []string{
		"PORT", "7001", "MODE", "STRICT", "RESOLUTION", "STATIC", "PROTOCOL", "HTTP", "TLS", "{}",
		"LISTENER", "http.9000", "STREAM", "streams", "INBOUND", "require_client_certificate",
	}
	if strings.HasPrefix(name, "a-") {
		own = []string{
			"PORT", "7002", "MODE", "DISABLE", "RESOLUTION", "DNS", "PROTOCOL", "HTTPS", "TLS", "{mode: ISTIO_MUTUAL}",
			"LISTENER", "https.9000.port." + name + ".clashes", "STREAM", "streams-too", "INBOUND", "",
		}
	}
	return strings.NewReplacer(append(own, "NAME", name)...).Replace(text)
}

// Object of a clash, as YAML. Created is its time of creation; empty for what the
// API server says.
func (c Clash) Object(name, created string) string {
	if created != "" {
		created = fmt.Sprintf(", creationTimestamp: %q", created)
	}
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: %s%s}, spec: %s}\n", c.APIVersion, c.Kind, name, Namespace, created, Filled(c.Spec, name))
}
