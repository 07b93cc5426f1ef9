// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/peer"
)

// workload in one of the two members.
type workload struct {
	peer.Peer
	trustDomain, account string
}

func (w workload) identity() string {
	return "spiffe://" + w.trustDomain + "/ns/" + w.Namespace + "/sa/" + w.account
}

func in(cluster, namespace, app, version string) workload {
	return workload{peer.Peer{
		Workload: app + "-" + version, Namespace: namespace, App: app, Version: version,
		CanonicalService: app, CanonicalRevision: version, Cluster: cluster,
	}, cluster + ".shop.example", app}
}

var (
	ingress     = in("west", "istio-system", "istio-ingressgateway", "v1")
	productpage = in("west", "shop", "productpage", "v1")
	reviews     = in("east", "shop", "reviews", "v2")
	ratings     = in("east", "shop", "ratings", "v1")
	mongodb     = in("east", "data", "mongodb", "v1")
	proxies     = []workload{ingress, productpage, reviews, ratings, mongodb}
)

// call is what happens between two scrapes, as both proxies see it.
type call struct {
	from, to  workload
	protocol  string
	code      int
	grpc      string
	flags     string
	times     int
	unreached bool
}

var calls = []call{
	{from: ingress, to: productpage, protocol: "http", code: 200, flags: "-", times: 30},
	{from: productpage, to: reviews, protocol: "http", code: 200, flags: "-", times: 24},
	{from: productpage, to: reviews, protocol: "http", code: 503, flags: "-", times: 3},
	// No endpoint was there: the server has not seen it, and the client not the server.
	{from: productpage, to: reviews, protocol: "http", code: 503, flags: "UH", times: 2, unreached: true},
	{from: reviews, to: ratings, protocol: "grpc", code: 200, grpc: "0", flags: "-", times: 12},
	{from: reviews, to: ratings, protocol: "grpc", code: 200, grpc: "14", flags: "-", times: 6},
	{from: ratings, to: mongodb, protocol: "tcp", flags: "-", times: 4},
}

// raw is Envoy's page of a workload, as its proxy counts the calls.
func raw(w workload) string {
	lines := map[string][]string{}
	for _, c := range calls {
		if c.from == w {
			c.count(lines, c.tags("source"))
		}
		if c.to == w && !c.unreached {
			c.count(lines, c.tags("destination"))
		}
	}
	var out strings.Builder
	for _, kind := range []string{"counter", "histogram"} {
		for _, name := range families[kind] {
			if len(lines[name]) > 0 {
				fmt.Fprintf(&out, "# TYPE envoy_%s %s\n%s", name, kind, strings.Join(lines[name], ""))
			}
		}
	}
	return out.String()
}

var families = map[string][]string{
	"counter": {
		"istio_requests_total", "istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total",
		"istio_tcp_sent_bytes_total", "istio_tcp_received_bytes_total",
	},
	"histogram": {"istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes"},
}

func (c call) tags(reporter string) string {
	self, other, security := c.from, c.to, "unknown"
	if reporter == "destination" {
		self, other, security = c.to, c.from, "mutual_tls"
	}
	who := fmt.Sprintf(`peer=%q,peer_principal=%q,self_principal=%q`, other, other.identity(), self.identity())
	if c.unreached {
		who = `peer_principal="",self_principal=""`
	}
	out := fmt.Sprintf(`reporter=%q,%s,service="%s.%s.svc.cluster.local|%s|%s",connection_security_policy=%q,response_flags=%q,request_protocol=%q`,
		reporter, who, c.to.App, c.to.Namespace, c.to.App, c.to.Namespace, security, c.flags, c.protocol)
	if c.protocol != "tcp" {
		out += fmt.Sprintf(`,response_code="%d",grpc_response_status=%q`, c.code, c.grpc)
	}
	return out
}

func (c call) count(lines map[string][]string, tags string) {
	one := func(name string, value int) {
		lines[name] = append(lines[name], fmt.Sprintf("envoy_%s{%s} %d\n", name, tags, value))
	}
	if c.protocol == "tcp" {
		one("istio_tcp_connections_opened_total", c.times)
		one("istio_tcp_connections_closed_total", c.times)
		one("istio_tcp_sent_bytes_total", c.times*1000)
		one("istio_tcp_received_bytes_total", c.times*10)
		return
	}
	one("istio_requests_total", c.times)
	for _, name := range families["histogram"] {
		for _, le := range []string{"1", "10", "100", "+Inf"} {
			value := c.times
			if le == "1" {
				value = 0
			}
			lines[name] = append(lines[name], fmt.Sprintf("envoy_%s_bucket{%s,le=%q} %d\n", name, tags, le, value))
		}
		lines[name] = append(lines[name], fmt.Sprintf("envoy_%s_sum{%s} %d\nenvoy_%s_count{%s} %d\n", name, tags, c.times*5, name, tags, c.times))
	}
}
