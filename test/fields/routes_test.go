// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
)

// routes are the three kinds of rules of a VirtualService, of a host HOST with a
// port PORT, at gateways GATEWAY.
const routes = `hosts: [HOST], gateways: [GATEWAY], http: [
  {name: everything,
   match: [{name: first, uri: {prefix: /a}, scheme: {exact: http}, method: {exact: GET}, authority: {exact: reviews}, headers: {x-user: {exact: jason}}, port: PORT, sourceLabels: {app: CALLER},
     queryParams: {q: {regex: "a+"}}, ignoreUriCase: true, withoutHeaders: {x-not: {prefix: a}}, sourceNamespace: shop, statPrefix: first}, {name: second, uri: {exact: /b}}],
   route: [{destination: {host: svc.shop.svc.cluster.local, port: {number: 1700}}, weight: 90, headers: {request: {set: {x-a: a}, add: {x-b: b}, remove: [x-c]}, response: {set: {x-d: d}, add: {x-e: e}, remove: [x-f]}}},
     {destination: {host: other.shop.svc.cluster.local, port: {number: 1701}}, weight: 10}],
   headers: {request: {set: {x-a: a}, add: {x-b: b}, remove: [x-c]}, response: {set: {x-d: d}, add: {x-e: e}, remove: [x-f]}},
   rewrite: {uri: /z, authority: ratings}, timeout: 5s,
   retries: {attempts: 3, perTryTimeout: 1s, retryOn: "5xx,503", retryRemoteLocalities: true, retryIgnorePreviousHosts: false, backoff: 1s},
   fault: {delay: {fixedDelay: 1s, percentage: {value: 10}}, abort: {httpStatus: 503, percentage: {value: 20}}},
   mirrors: [{destination: {host: other.shop.svc.cluster.local, port: {number: 1701}}, percentage: {value: 5}}],
   corsPolicy: {allowOrigins: [{exact: https://a.example}], allowMethods: [GET], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 24h, allowCredentials: true, unmatchedPreflights: IGNORE}},
  {match: [{uri: {prefix: /redirect}}], redirect: {uri: /y, authority: a.example, port: 8080, scheme: https, redirectCode: 302}},
  {match: [{uri: {prefix: /direct}}], directResponse: {status: 418, body: {string: tea}}},
  {route: [{destination: {host: svc.shop.svc.cluster.local, port: {number: 1700}}}]}],
 tls: [
  {match: [{sniHosts: [HOST], destinationSubnets: [10.0.0.0/8], port: PORT, sourceLabels: {app: CALLER}, sourceNamespace: shop}], route: [
    {destination: {host: svc.shop.svc.cluster.local, port: {number: 1700}}, weight: 60}, {destination: {host: other.shop.svc.cluster.local, port: {number: 1701}}, weight: 40}]},
  {match: [{sniHosts: [HOST], port: PORT}], route: [{destination: {host: other.shop.svc.cluster.local, port: {number: 1701}}}]}],
 tcp: [
  {match: [{destinationSubnets: [10.0.0.0/8], port: PORT, sourceLabels: {app: CALLER}, sourceNamespace: shop}], route: [
    {destination: {host: svc.shop.svc.cluster.local, port: {number: 1700}}, weight: 60}, {destination: {host: other.shop.svc.cluster.local, port: {number: 1701}}, weight: 40}]},
  {match: [{port: PORT}], route: [{destination: {host: other.shop.svc.cluster.local, port: {number: 1701}}}]}]`

// other is a second place to send to.
const other = "{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop}, spec: {clusterIP: 10.96.0.31, clusterIPs: [10.96.0.31], ports: [{name: http, port: 1701}]}}\n"

// servers of gateways, by what they take.
var servers = map[string]string{
	"HTTP":        "{port: {number: 80, name: port, protocol: HTTP}, hosts: [\"*\"]}",
	"HTTPS":       "{port: {number: 80, name: port, protocol: HTTPS}, hosts: [\"*\"], tls: {mode: SIMPLE, credentialName: a-cert}}",
	"PASSTHROUGH": "{port: {number: 80, name: port, protocol: TLS}, hosts: [\"*\"], tls: {mode: PASSTHROUGH}}",
	"TLS":         "{port: {number: 80, name: port, protocol: TLS}, hosts: [\"*\"], tls: {mode: SIMPLE, credentialName: a-cert}}",
	"TCP":         "{port: {number: 80, name: port, protocol: TCP}, hosts: [\"*\"]}",
}

// TestRoutesEverywhere takes each field of a VirtualService away: for callers of a
// port of each protocol, and at a gateway's server of each kind.
func TestRoutesEverywhere(t *testing.T) {
	for _, b := range backends {
		for _, protocol := range protocols {
			if !b.takes(protocol) || !b.common && (protocol != "http" && protocol != "tcp" && protocol != "tls" || strings.HasPrefix(b.host, "*")) {
				continue
			}
			t.Run(strings.Join([]string{"Sidecar", b.name, cmp.Or(protocol, "auto")}, "/"), func(t *testing.T) {
				t.Parallel()
				inRoutes(t, ways[0], b, protocol, strings.NewReplacer("HOST", fmt.Sprintf("%q", b.host), "PORT", fmt.Sprint(number), "GATEWAY", "mesh", "CALLER", "client").Replace(routes), "")
			})
		}
	}
	for name, server := range servers {
		t.Run(strings.Join([]string{"Gateway", "ClusterIP", name}, "/"), func(t *testing.T) {
			t.Parallel()
			gateway := "---\n{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: front, namespace: shop}, spec: {selector: {istio: gateway}, servers: [" + server + "]}}\n"
			inRoutes(t, way{gateway: true}, backends[0], "http", strings.NewReplacer("HOST", "front.example.com", "PORT", "80", "GATEWAY", "front", "CALLER", "gateway").Replace(routes), gateway)
		})
	}
}

func inRoutes(t *testing.T, w way, b backend, protocol, spec, more string) {
	t.Helper()
	rule := "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: every, namespace: shop}, spec: {" + spec + "}}\n"
	if b.clusterIP == "" {
		more += "---\n" + backends[0].text("http")
	}
	c := newCheckIn(t, strings.Join([]string{w.world(b, protocol), other, rule}, "---\n")+more)
	c.caller, c.there = w.caller(), true
	c.excused = narrow
	c.base = c.build(c.in)
	c.kind("VirtualServices")
}

// narrow is true for what the one caller, host, port and gateway here can't tell:
// TestFields looks at it.
func narrow(f change) bool {
	path := index.ReplaceAllString(f.path, "")
	for _, end := range []string{".match.port", ".match.sourceLabels", ".match.sourceNamespace", ".destination.port", "spec.gateways"} {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return path == "spec.tcp.match" && f.what == "without [0]"
}
