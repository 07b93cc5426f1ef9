// SPDX-License-Identifier: Apache-2.0

package compared

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Random makes a case of objects as users write them, a few that meet and clash,
// for the cluster of testdata, and calls that they are about. A seed gives the
// same case always.
func Random(cluster string, seed uint64) *Case {
	r := dice{rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // the same each time
	c := &Case{File: "random", Name: fmt.Sprint(seed), Cluster: cluster}
	var objects []string
	for i := range 1 + r.IntN(3) {
		objects = append(objects, r.virtualService(i))
	}
	for i := range r.IntN(3) {
		objects = append(objects, r.destinationRule(i))
	}
	for i := range r.IntN(3) {
		objects = append(objects, r.serviceEntry(i))
	}
	if r.often(4) {
		objects = append(objects, fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: some, namespace: %s}, spec: {egress: [{hosts: [%s]}]}}",
			r.of("shop", "bank"), r.of(`"./*"`, `"*/*"`, `"./*", "bank/*"`, `"shop/reviews.shop.svc.cluster.local", "*/*.example.com"`)))
	}
	if r.often(4) {
		objects = append(objects, fmt.Sprintf("{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: %s}, spec: {mtls: {mode: %s}}}",
			r.of("shop", "bank", "istio-system"), r.of("STRICT", "PERMISSIVE", "DISABLE")))
	}
	if r.often(3) {
		c.Mesh = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"
	}
	c.YAML = strings.Join(objects, "\n---\n")
	for _, from := range []string{"shop/client", "shop/tester", "bank/teller"} {
		for range 4 {
			c.Calls = append(c.Calls, "call "+from+" "+r.call())
		}
	}
	c.Calls = append(c.Calls,
		"receive shop/reviews-1 8080", "receive shop/reviews-1 9000 payload=bytes", "receive bank/vault-1 8080")
	return c
}

type dice struct{ *rand.Rand }

func (r dice) of(words ...string) string { return words[r.IntN(len(words))] }

// often is true once in so many times.
func (r dice) often(n int) bool { return r.IntN(n) == 0 }

// some of the words, in a list.
func (r dice) some(most int, words ...string) string {
	var out []string
	for range 1 + r.IntN(most) {
		if w := r.of(words...); !strings.Contains(strings.Join(out, " "), w) {
			out = append(out, w)
		}
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func (r dice) host() string {
	return r.of("reviews.shop.svc.cluster.local", "ratings.shop.svc.cluster.local", "vault.bank.svc.cluster.local", "legacy.shop.svc.cluster.local", "dns.example.com")
}

func (r dice) destination() string {
	subset := ""
	if r.often(3) {
		subset = ", subset: " + r.of("v1", "v2")
	}
	return fmt.Sprintf("{destination: {host: %s%s, port: {number: %s}}", r.host(), subset, r.of("80", "80", "80", "9000"))
}

func (r dice) route() string {
	if r.often(3) {
		return fmt.Sprintf("route: [%s, weight: %d}, %s, weight: %d}]", r.destination(), 1+r.IntN(99), r.destination(), r.IntN(100))
	}
	return "route: [" + r.destination() + "}]"
}

func (r dice) match() string {
	var out []string
	if r.often(2) {
		out = append(out, "uri: {"+r.of("prefix: /", "prefix: /a", "prefix: /a/", "exact: /a", "exact: /a/b", `regex: "/[ab]/.*"`)+"}")
	}
	if r.often(3) {
		out = append(out, "headers: {x: {"+r.of("exact: a", "prefix: a", `regex: "a+"`, "")+"}}")
	}
	if r.often(6) {
		out = append(out, "withoutHeaders: {y: {"+r.of("exact: a", "")+"}}")
	}
	if r.often(6) {
		out = append(out, "queryParams: {q: {"+r.of("exact: a", `regex: "a+"`)+"}}")
	}
	if r.often(6) {
		out = append(out, "sourceNamespace: "+r.of("shop", "bank"))
	}
	if r.often(6) {
		out = append(out, "sourceLabels: {role: tester}")
	}
	if r.often(6) {
		out = append(out, "port: "+r.of("80", "7000"))
	}
	if r.often(8) {
		out = append(out, "method: {exact: POST}")
	}
	return "{" + strings.Join(out, ", ") + "}"
}

func (r dice) rule(last bool) string {
	var out []string
	if !last || r.often(3) {
		matches := []string{r.match()}
		if r.often(3) {
			matches = append(matches, r.match())
		}
		if text := strings.Join(matches, ", "); !strings.Contains(text, "{}") {
			out = append(out, "match: ["+text+"]")
		}
	}
	switch {
	case r.often(8):
		return "{" + strings.Join(append(out, "redirect: {"+r.of("uri: /r", "authority: r.example.com", "uri: /r, redirectCode: 302")+"}"), ", ") + "}"
	case r.often(10):
		return "{" + strings.Join(append(out, "directResponse: {status: 418}"), ", ") + "}"
	}
	out = append(out, r.route())
	for _, more := range []string{
		"timeout: 2s", "retries: {attempts: 1}", "retries: {attempts: 0}", "rewrite: {uri: /n}", "rewrite: {authority: n.example.com}",
		"headers: {request: {set: {x-n: a}}}", "fault: {abort: {httpStatus: 500, percentage: {value: 5}}}", "mirror: {host: ratings.shop.svc.cluster.local, port: {number: 80}}",
	} {
		field, _, _ := strings.Cut(more, ":")
		if r.often(8) && !strings.Contains(strings.Join(out, " "), field+":") {
			out = append(out, more)
		}
	}
	return "{" + strings.Join(out, ", ") + "}"
}

func (r dice) age() string {
	return fmt.Sprintf(`creationTimestamp: "2024-01-%02dT00:00:00Z"`, 1+r.IntN(20))
}

func (r dice) exported() string {
	if !r.often(4) {
		return ""
	}
	return "exportTo: [" + r.of(`"."`, `"*"`, "bank", "shop") + "], "
}

func (r dice) virtualService(n int) string {
	var rules []string
	count := 1 + r.IntN(4)
	for i := range count {
		rules = append(rules, r.rule(i == count-1))
	}
	tcp := ""
	if r.often(4) {
		tcp = ", tcp: [{match: [{port: 9000}], " + r.route() + "}]"
	}
	return fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: vs-%d, namespace: %s, %s}, spec: {%shosts: %s, http: [%s]%s}}",
		n, r.of("shop", "shop", "bank"), r.age(), r.exported(),
		r.some(2, "reviews.shop.svc.cluster.local", "ratings.shop.svc.cluster.local", "vault.bank.svc.cluster.local", "dns.example.com", `"*.example.com"`, `"*.shop.svc.cluster.local"`),
		strings.Join(rules, ", "), tcp)
}

func (r dice) destinationRule(n int) string {
	tls := func() string {
		return "tls: {mode: " + r.of("DISABLE", "ISTIO_MUTUAL", "SIMPLE, sni: x.example.com") + "}"
	}
	policy := ""
	switch r.IntN(4) {
	case 0:
		policy = "trafficPolicy: {" + tls() + "}, "
	case 1:
		policy = "trafficPolicy: {loadBalancer: {simple: RANDOM}, portLevelSettings: [{port: {number: 80}, " + tls() + "}]}, "
	case 2:
		policy = "trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}, "
	}
	own := ""
	if r.often(4) {
		own = ", trafficPolicy: {" + tls() + "}"
	}
	return fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: dr-%d, namespace: %s, %s}, spec: {%shost: %s, %ssubsets: [{name: v1, labels: {version: v1}%s}, {name: v2, labels: {version: v2}}]}}",
		n, r.of("shop", "bank", "istio-system"), r.age(), r.exported(), r.of(r.host(), r.host(), `"*.shop.svc.cluster.local"`), policy, own)
}

func (r dice) serviceEntry(n int) string {
	return fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: se-%d, namespace: %s, %s}, spec: {%shosts: [%s], location: %s, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: %s}}",
		n, r.of("shop", "bank"), r.age(), r.exported(), r.of("dns.example.com", "api.example.com", "dns.example.org"),
		r.of("MESH_EXTERNAL", "MESH_INTERNAL"), r.of("DNS", "DNS", "NONE"))
}

// call to somewhere, and what it says.
func (r dice) call() string {
	to := r.of("reviews.shop.svc.cluster.local", "ratings.shop.svc.cluster.local", "vault.bank.svc.cluster.local", "legacy.shop.svc.cluster.local", "dns.example.com", "api.example.com", "dns.example.org")
	if r.often(8) {
		return to + ":443 sni=" + to
	}
	if r.often(8) {
		return to + ":9000 payload=bytes"
	}
	out := to + ":" + r.of("80", "80", "80", "80", "7000")
	if r.often(2) {
		out += " path=" + r.of("/a", "/a/b", "/ab", "/b/x", "/a?q=a", "/?q=aa")
	}
	if r.often(2) {
		out += " header.x=" + r.of("a", "aa", "b")
	}
	if r.often(6) {
		out += " header.y=a"
	}
	if r.often(6) {
		out += " method=POST"
	}
	return out
}
