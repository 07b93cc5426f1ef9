// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// certificates are settings of a server's TLS, by where they come from. MODE is its mode.
var certificates = map[string]string{
	"Secret": `tls: {mode: MODE, credentialName: a-cert, subjectAltNames: [client.example], minProtocolVersion: TLSV1_2, maxProtocolVersion: TLSV1_3, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384],
  verifyCertificateSpki: [AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=], verifyCertificateHash: ["AA:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00"]}`,
	"Secrets": `tls: {mode: MODE, credentialNames: [a-cert, b-cert], caCertCredentialName: client-ca, insecureSkipVerify: true}`,
	"Files":   `tls: {mode: MODE, serverCertificate: /s, privateKey: /k, caCertificates: /ca, caCrl: /crl}`,
	"Several": `tls: {mode: MODE, tlsCertificates: [{serverCertificate: /s1, privateKey: /k1, caCertificates: /ca1}, {serverCertificate: /s2, privateKey: /k2}]}`,
	"Mode":    `tls: {mode: MODE}`,
}

// TestServersEverywhere takes each field of a gateway's server away, for each of
// its protocols and modes of TLS.
func TestServersEverywhere(t *testing.T) {
	var looked atomic.Int64
	t.Cleanup(func() {
		if n := looked.Load(); n < 30 {
			t.Errorf("only %d servers can be used as they are", n)
		}
	})
	for _, protocol := range []string{"HTTP", "HTTP2", "GRPC", "HTTPS", "TLS", "TCP", "MONGO"} {
		settings := map[string]string{"Plain": ""}
		if protocol == "HTTP" {
			settings["Redirect"] = ", tls: {httpsRedirect: true}"
		}
		for _, mode := range []string{"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL", "PASSTHROUGH", "AUTO_PASSTHROUGH"} {
			for name, text := range certificates {
				if protocol == "HTTPS" || protocol == "TLS" || name == "Secret" {
					settings[mode+name] = ", " + strings.ReplaceAll(text, "MODE", mode)
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				t.Parallel()
				gateway := fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: every, namespace: shop}, spec: {selector: {istio: gateway}, servers: [
  {port: {number: 80, name: port, protocol: %s, targetPort: 8081}, hosts: [front.example.com, ./inner.example.com], bind: 127.0.0.1, name: inner, defaultEndpoint: "127.0.0.1:80"%s}]}}
`, protocol, settings[name])
				rules := strings.NewReplacer("HOST", "front.example.com", "PORT", "80", "GATEWAY", "every", "CALLER", "gateway").Replace(routes)
				gateway += "---\n{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: front, namespace: shop}, spec: {" + rules + "}}\n"
				w := way{gateway: true}
				c := newCheckIn(t, strings.Join([]string{w.world(backends[0], "http"), other, gateway}, "---\n"))
				c.caller, c.there = w.caller(), true
				c.excused = func(f change) bool {
					// There is one gateway here, and no rule for its second host; TLS 1.2 and 1.3 are what it takes anyway.
					return f.name == "selector" || f.name == "hosts" && f.what == "without [1]" && !strings.HasPrefix(protocol, "H") && protocol != "GRPC" ||
						f.name == "hosts" && f.what == "without [1]" && strings.HasPrefix(name, "PASSTHROUGH") || strings.HasSuffix(f.path, "ProtocolVersion") && (f.what == "taken away" || f.what == "as TLS_AUTO")
				}
				if c.base = c.build(c.in); !c.base.refused() {
					looked.Add(1)
					c.kind("Gateways")
				}
			})
		}
	}
}

// TestEntriesEverywhere takes each field of ServiceEntries and WorkloadEntries
// away, for each resolution and location.
func TestEntriesEverywhere(t *testing.T) {
	const entry = `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: every, namespace: shop}, spec: {hosts: ["HOST"],
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, OPAQUE, {number: 443, name: tls, protocol: TLS}],
  resolution: RESOLUTION, location: LOCATION, subjectAltNames: ["spiffe://cluster.local/ns/shop/sa/named"], MORE}}
`
	const rule = `---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: rule, namespace: shop}, spec: {host: "HOST", trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3},
  loadBalancer: {localityLbSetting: {failoverPriority: [topology.istio.io/network]}}TLS}, subsets: [{name: v1, labels: {version: v1}}]}}
`
	more := map[string]string{
		"Endpoints": `addresses: [192.0.2.10], endpoints: [{address: 192.0.2.40, ports: {http: 8081, tcp: 71}, labels: {version: v1}, network: n2, locality: eu/eu-1/r1, weight: 3, serviceAccount: one},
  {address: 192.0.2.41, weight: 2, labels: {version: v2, security.istio.io/tlsMode: istio}}]`,
		"Names":    `endpoints: [{address: a.example.org, ports: {http: 8081}, labels: {version: v1}, locality: eu/eu-1/r1, weight: 3}, {address: b.example.org}]`,
		"Range":    `addresses: [192.0.2.0/24]`,
		"Alone":    `exportTo: ["."]`,
		"Selector": `addresses: [192.0.2.10], workloadSelector: {labels: {app: machine}}`,
	}
	const machine = `---
{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: every, namespace: shop}, spec: {address: 192.0.2.50, ports: {http: 8081}, labels: {app: machine, version: v1}, network: n2, locality: eu/eu-2/r1, weight: 3, serviceAccount: two}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: other, namespace: shop}, spec: {address: 192.0.2.51, labels: {app: machine, security.istio.io/tlsMode: istio}, weight: 2}}
`
	var looked atomic.Int64
	t.Cleanup(func() {
		if n := looked.Load(); n < 20 {
			t.Errorf("only %d entries can be used as they are", n)
		}
	})
	for _, resolution := range []string{"NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"} {
		for _, location := range []string{"MESH_EXTERNAL", "MESH_INTERNAL"} {
			for name, text := range more {
				t.Run(strings.Join([]string{resolution, location, name}, "/"), func(t *testing.T) {
					t.Parallel()
					host := "svc.example.com"
					tcp := ", {number: 70, name: tcp, protocol: TCP}"
					if resolution == "DYNAMIC_DNS" {
						host, tcp = "*.wild.example.com", ""
					}
					objects := strings.NewReplacer(", OPAQUE", tcp, "RESOLUTION", resolution, "LOCATION", location, "MORE", text, "HOST", host).Replace(entry + rule)
					tls := ""
					if name == "Alone" {
						tls = ", tls: {mode: SIMPLE}"
					}
					objects = strings.Replace(objects, "}TLS}", "}"+tls+"}", 1)
					if name == "Selector" {
						objects += machine
					}
					c := newCheckIn(t, strings.Join([]string{places, pod("client-1", "n1", "10.244.0.10", "app: client"), objects}, "---\n"))
					c.caller, c.there = "client-1", true
					c.excused = func(f change) bool { return inEntry(f, resolution, location, name) }
					if c.base = c.build(c.in); c.base.refused() {
						return
					}
					looked.Add(1)
					c.kind("ServiceEntries")
					if resolution != "NONE" && resolution != "DYNAMIC_DNS" {
						c.kind("WorkloadEntries")
					}
				})
			}
		}
	}
}

// inEntry is true for what says what is so anyway, or has been said otherwise.
func inEntry(f change, resolution, location, name string) bool {
	path := index.ReplaceAllString(f.path, "")
	external := location == "MESH_EXTERNAL"
	switch path {
	case "spec.exportTo":
		return true // TestFields has callers in other namespaces
	case "spec.subjectAltNames":
		return name != "Alone" // clients that begin TLS by themselves verify them: in Alone they do
	case "spec.location":
		return resolution == "NONE" || resolution == "DYNAMIC_DNS" // who is called there isn't known
	case "spec.ports.targetPort":
		// The one endpoint says its own; without endpoints there is nobody to call.
		return resolution == "DNS_ROUND_ROBIN" || resolution == "STATIC" && name != "Endpoints" && name != "Selector"
	case "spec.endpoints.labels", "spec.labels":
		// No subset asks for v2. Labels don't make an outside endpoint the mesh's.
		return f.path == "spec.endpoints[1].labels" && f.what == "without version" || external && f.what == "without security.istio.io/tlsMode"
	case "spec.serviceAccount":
		return external // another ServiceEntry may select the machine
	case "spec.network":
		return resolution == "DNS_ROUND_ROBIN" // one endpoint has no order
	}
	return false
}

// TestSidecarsEverywhere takes each field of a Sidecar away, for each protocol of
// its ports and each way to capture them.
func TestSidecarsEverywhere(t *testing.T) {
	const text = `{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: every, namespace: shop}, spec: {workloadSelector: {labels: {app: client}},
  ingress: [{port: {number: 9080, name: port, protocol: PROTOCOL}, bind: 127.0.0.9, captureMode: CAPTURE, defaultEndpoint: "127.0.0.1:8080",
    connectionPool: {tcp: {maxConnections: 5, idleTimeout: 8s}, http: {http1MaxPendingRequests: 9, idleTimeout: 5s}}},
    {port: {number: 9090, name: other, protocol: PROTOCOL}, defaultEndpoint: "127.0.0.1:8090"}],
  egress: [{port: {number: 1700, name: port, protocol: PROTOCOL}, bind: "BIND", captureMode: CAPTURE, hosts: ["./svc.shop.svc.cluster.local"]}, {hosts: ["./other.shop.svc.cluster.local"]}],
  inboundConnectionPool: {tcp: {maxConnections: 7}}, outboundTrafficPolicy: {mode: REGISTRY_ONLY}}}
`
	for _, protocol := range []string{"HTTP", "GRPC", "TCP", "TLS", "HTTP_PROXY"} {
		for _, capture := range []string{"DEFAULT", "IPTABLES", "NONE"} {
			for _, bind := range []string{"", "127.0.0.9"} {
				t.Run(strings.Join([]string{protocol, capture, "Bind" + bind}, "/"), func(t *testing.T) {
					t.Parallel()
					name := strings.ToLower(protocol)
					if protocol == "HTTP_PROXY" {
						name = "http"
					}
					sidecar := strings.NewReplacer("PROTOCOL", protocol, "CAPTURE", capture, "BIND", bind).Replace(text)
					c := newCheckIn(t, strings.Join([]string{ways[0].world(backends[0], name), other, sidecar}, "---\n"))
					c.caller, c.there = "client-1", true
					c.excused = func(f change) bool {
						// There is one caller here; what is DEFAULT is captured; a proxy's own port is called as such, captured or not.
						return strings.HasPrefix(f.path, "spec.workloadSelector") ||
							strings.HasSuffix(f.path, ".captureMode") && (protocol == "HTTP_PROXY" || capture == "IPTABLES" && f.what != "as NONE")
					}
					c.base = c.build(c.in)
					c.kind("Sidecars")
				})
			}
		}
	}
}
