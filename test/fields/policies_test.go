// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// policies which set, together, every field that there is. What is in Whole and Tunnel can't be a port's.
var policies = map[string]string{
	"Cookie": `loadBalancer: {consistentHash: {httpCookie: {name: user, path: /, ttl: 1s, attributes: [{name: SameSite, value: Strict}]}, ringHash: {minimumRingSize: 2048}}},
connectionPool: {
  tcp: {maxConnections: 100, connectTimeout: 30ms, tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}, maxConnectionDuration: 1h},
  http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRequestsPerConnection: 3, maxRetries: 4, idleTimeout: 5s, maxConcurrentStreams: 6, h2UpgradePolicy: UPGRADE, http2KeepAlive: {interval: 10s, timeout: 2s}}},
outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 1, consecutiveGatewayErrors: 2, consecutive5xxErrors: 7, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 90, minHealthPercent: 50, outlierDetectionHttpErrorCodes: [429, 500]},
tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /ca, caCrl: /crl, subjectAltNames: [a.example, "spiffe://x/y"], sni: a.example}`,
	"Header": `loadBalancer: {consistentHash: {httpHeaderName: X-User, maglev: {tableSize: 65539}}},
connectionPool: {tcp: {idleTimeout: 8s}, http: {useClientProtocol: true}},
outlierDetection: {consecutiveErrors: 9},
tls: {mode: SIMPLE, caCertificates: /ca}`,
	"Address": `loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 64}},
connectionPool: {tcp: {idleTimeout: 8s, maxConnectionDuration: 1h}, http: {maxRequestsPerConnection: 1}},
tls: {mode: SIMPLE, insecureSkipVerify: true, sni: a.example}`,
	"Query": `loadBalancer: {consistentHash: {httpQueryParameterName: user}},
connectionPool: {tcp: {maxConnections: 100}, http: {maxConcurrentStreams: 6, http2KeepAlive: {interval: 10s, timeout: 2s}}},
tls: {mode: ISTIO_MUTUAL, subjectAltNames: ["spiffe://x/y"], sni: a.example}`,
	"Warmup": `loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s, minimumPercent: 20, aggression: 1.5}, localityLbSetting: {distribute: [{from: "eu/*", to: {"eu/*": 80, "us/*": 20}}]}},
tls: {mode: DISABLE}`,
	"Failover": `loadBalancer: {simple: RANDOM, localityLbSetting: {failover: [{from: eu, to: us}]}},
outlierDetection: {consecutive5xxErrors: 7}`,
	"Labels": `loadBalancer: {warmupDurationSecs: 10s, localityLbSetting: {failoverPriority: ["version=v1"]}},
outlierDetection: {consecutive5xxErrors: 7}`,
	"AsCalled": `loadBalancer: {simple: PASSTHROUGH},
connectionPool: {http: {h2UpgradePolicy: UPGRADE}}`,
	"Tunnel": `tunnel: {protocol: POST, targetHost: proxy.example, targetPort: 3128}`,
	"Whole": `proxyProtocol: {version: V2},
retryBudget: {percent: 50, minRetryConcurrency: 7, budgetInterval: 20s}`,
}

// levels are where a policy may stand: in which namespace, and where in a rule.
var levels = map[string]struct{ namespace, spec string }{
	"Host":   {"shop", "{host: HOST, trafficPolicy: {POLICY}}"},
	"Port":   {"shop", "{host: HOST, trafficPolicy: {portLevelSettings: [{port: {number: PORT}, POLICY}]}}"},
	"Subset": {"shop", "{host: HOST, subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {POLICY}}]}"},
	"Root":   {"istio-system", "{host: HOST, trafficPolicy: {POLICY}}"},
	// Of the namespace of a service that others call.
	"Exported": {"shop", "{host: HOST, exportTo: [shop], trafficPolicy: {POLICY}}"},
}

// TestPoliciesEverywhere takes each field of traffic policies away, on ports of
// each protocol, of services of each kind, on each way there.
func TestPoliciesEverywhere(t *testing.T) {
	for _, w := range ways {
		for _, b := range backends {
			for _, protocol := range protocols {
				if !w.sends(protocol) || !b.common && !slices.Contains([]string{"http", "tcp"}, protocol) {
					continue
				}
				t.Run(strings.Join([]string{w.name, b.name, cmp.Or(protocol, "auto")}, "/"), func(t *testing.T) {
					t.Parallel()
					for _, name := range slices.Sorted(maps.Keys(policies)) {
						inPolicy(t, w, b, protocol, "Host", name)
					}
				})
			}
		}
	}
	for level := range levels {
		for _, protocol := range []string{"http", "tcp", ""} {
			t.Run(strings.Join([]string{"Level" + level, cmp.Or(protocol, "auto")}, "/"), func(t *testing.T) {
				t.Parallel()
				for _, name := range []string{"Address", "Cookie", "Header", "Tunnel", "Warmup", "Whole"} {
					if level == "Port" && (name == "Whole" || name == "Tunnel") || level == "Subset" && name == "Tunnel" && protocol == "" {
						continue // a port can't have them; nothing is sent on to the subset
					}
					inPolicy(t, ways[0], backends[0], protocol, level, name)
				}
			})
		}
	}
}

// inPolicy takes each field of one policy away.
func inPolicy(t *testing.T, w way, b backend, protocol, level, name string) {
	t.Helper()
	at := levels[level]
	if !b.takes(protocol) {
		return
	}
	spec := strings.NewReplacer("HOST", fmt.Sprintf("%q", b.host), "PORT", fmt.Sprint(number), "POLICY", policies[name]).Replace(at.spec)
	rule := fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: every, namespace: %s}, spec: %s}\n", at.namespace, spec)
	if level == "Subset" {
		rule += "---\n" + toSubset(b, protocol)
	}
	c := newCheckIn(t, w.world(b, protocol)+"---\n"+rule)
	c.name, c.caller, c.there = name, w.caller(), true
	c.excused = func(f change) bool { return so(w, b, protocol, name, f) || sidecars(w, protocol, name, f) }
	c.base = c.build(c.in)
	c.kind("DestinationRules")
}

// toSubset is a route to the subset, of requests or connections.
func toSubset(b backend, protocol string) string {
	kind := "http"
	if protocol == "tcp" {
		kind = "tcp"
	}
	return fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: subset, namespace: shop}, spec: {hosts: [%[1]s], %[2]s: [{route: [{destination: {host: %[1]s, subset: v1}}]}]}}\n", b.host, kind)
}

// so is true for what is so anyway: nothing follows, and nobody is surprised.
func so(w way, b backend, protocol, policy string, f change) bool {
	field := inside(f)
	switch {
	case strings.HasPrefix(field, "spec.exportTo"):
		// Callers of other namespaces are looked at elsewhere.
		return true
	case protocol == "" && !w.gateway && policy == "Header":
		// What the client speaks is spoken on a port whose protocol is sniffed.
		return field == "connectionPool.http" || field == "connectionPool.http.useClientProtocol"
	case policy == "AsCalled" && b.name == "NONE":
		return strings.HasPrefix(field, "loadBalancer")
	case policy == "Warmup" && (b.name == "NONE" || b.name == "DYNAMIC_DNS"):
		// Nothing outside the mesh is called in mutual TLS.
		return field == "tls" || field == "tls.mode"
	}
	return false
}

// sidecars is true for what only sidecars that call the port by themselves honour:
// it is looked at on their own way.
func sidecars(w way, protocol, policy string, f change) bool {
	if !w.gateway {
		return false
	}
	field := inside(f)
	http2 := field == "connectionPool.http" || strings.HasSuffix(field, ".maxConcurrentStreams") || strings.HasSuffix(field, ".http2KeepAlive")
	return policy == "Tunnel" || protocol == "" && (http2 || strings.HasPrefix(field, "loadBalancer.consistentHash.http"))
}

// inside is where a field is in its policy.
func inside(f change) string {
	path := index.ReplaceAllString(f.path, "")
	for _, level := range []string{"spec.subsets.trafficPolicy.", "spec.trafficPolicy.portLevelSettings.", "spec.trafficPolicy."} {
		if rest, ok := strings.CutPrefix(path, level); ok {
			return rest
		}
	}
	return path
}
