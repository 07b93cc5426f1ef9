// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// limitedWorld is two callers, a server, an ingress gateway and a counting service.
const limitedWorld = `
{apiVersion: v1, kind: Pod, metadata: {name: client-1, namespace: shop, labels: {app: client}}, spec: {serviceAccountName: client, containers: [{name: istio-proxy}]}, status: {podIPs: [{ip: 10.244.0.10}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: guest-1, namespace: shop, labels: {app: guest}}, spec: {serviceAccountName: guest, containers: [{name: istio-proxy}]}, status: {podIPs: [{ip: 10.244.0.11}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-1, namespace: shop, labels: {app: reviews}}
spec: {serviceAccountName: reviews, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.244.0.20}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.96.0.7, selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: admin, namespace: shop}
spec: {clusterIP: 10.96.0.9, selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 9090}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.20], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-1, namespace: shop}}]
ports: [{name: http, port: 8080, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: admin, namespace: shop, labels: {kubernetes.io/service-name: admin}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.20], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-1, namespace: shop}}]
ports: [{name: http, port: 9090, protocol: TCP}]
---
apiVersion: v1
kind: Service
metadata: {name: ratelimit, namespace: platform}
spec: {clusterIP: 10.96.0.8, ports: [{name: grpc, port: 8081}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ratelimit, namespace: platform, labels: {kubernetes.io/service-name: ratelimit}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.40], conditions: {ready: true}}]
ports: [{name: grpc, port: 8081, protocol: TCP}]
---
{apiVersion: v1, kind: Pod, metadata: {name: front-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: front, istio: front}}, spec: {serviceAccountName: front, containers: [{name: istio-proxy}]}, status: {podIPs: [{ip: 10.244.0.30}], conditions: [{type: Ready, status: "True"}]}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec: {selector: {istio: front}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front, namespace: shop}
spec: {hosts: ["*"], gateways: [front], http: [{route: [{destination: {host: reviews, port: {number: 80}}}]}]}
---
`

// limited is limitedWorld on real Envoys.
type limited struct {
	*testing.T
	fabric  *rig.Fabric
	pods    map[string]*rig.Pod
	proxies map[string]*rig.Proxy
	callers map[string]*http.Client
	result  *ingest.Result
	shown   *snapshot.Snapshot
}

func newLimited(t *testing.T) *limited {
	t.Helper()
	l := &limited{T: t, fabric: rig.New(t), pods: map[string]*rig.Pod{}, proxies: map[string]*rig.Proxy{}, callers: map[string]*http.Client{}}
	root := rig.NewRoot(t)
	for _, p := range []struct{ account, address string }{{"client", "10.244.0.10"}, {"guest", "10.244.0.11"}, {"reviews", "10.244.0.20"}, {"front", "10.244.0.30"}} {
		pod := l.fabric.Pod("shop", p.account+"-1", p.address)
		id := "spiffe://cluster.local/ns/shop/sa/" + p.account
		leaf := root.Leaf(id)
		o := rig.Options{Type: "sidecar", Identity: id, Leaf: &leaf, Redirect: true}
		if p.account == "front" {
			o.Type, o.Redirect, o.Labels = "router", false, map[string]string{"gateway.networking.k8s.io/gateway-name": "front", "istio": "front"}
		}
		l.pods[p.account], l.proxies[p.account], l.callers[p.account] = pod, pod.Envoy(o), client(pod)
	}
	l.pods["ratelimit"] = l.fabric.Pod("platform", "ratelimit-1", "10.244.0.40")
	l.pods["outside"] = l.fabric.Pod("elsewhere", "outside-1", "10.244.0.50")
	l.callers["outside"] = client(l.pods["outside"])
	echo(l.pods["reviews"], 8080)
	echo(l.pods["reviews"], 9090)
	return l
}

// push objects beside the world; nothing may be wrong with them.
func (l *limited) push(objects string) {
	l.Helper()
	for _, p := range l.world(limitedWorld + objects) {
		l.Errorf("%s: %s: %s", p.Field, p.Reason, p.Message)
	}
}

// world of objects for all proxies, and what is told of its limits.
func (l *limited) world(objects string) []model.Problem {
	l.Helper()
	read, err := manifest.Read([]byte(objects))
	if err != nil {
		l.Fatal(err)
	}
	read.Settings = model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local"}
	l.result = ingest.Build(read.Input, l.result)
	l.shown = snapshot.Build(l.result.Mesh, l.shown)
	for _, account := range []string{"reviews", "client", "guest", "front"} {
		l.proxies[account].Push(l.shown)
	}
	return slices.DeleteFunc(slices.Concat(l.result.Mesh.Problems, l.shown.Problems()), func(p model.Problem) bool { return p.Kind != "RateLimitPolicy" })
}

// ask the server's service as an account, with headers; outside asks the gateway.
func (l *limited) ask(account, path string, headers ...string) *http.Response {
	l.Helper()
	url := "http://10.96.0.7" + path
	if account == "outside" {
		url = "http://10.244.0.30:8080" + path
	}
	return l.askURL(account, url, headers...)
}

func (l *limited) askURL(account, url string, headers ...string) *http.Response {
	l.Helper()
	r, err := http.NewRequestWithContext(l.Context(), http.MethodGet, url, nil)
	if err != nil {
		l.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, _ := do(l.T, l.callers[account], r)
	return answer
}

// asks n times, and what came of it, such as "200 200 429".
func (l *limited) asks(n int, account, path string, headers ...string) string {
	l.Helper()
	var out []string
	for range n {
		out = append(out, fmt.Sprint(l.ask(account, path, headers...).StatusCode))
	}
	return strings.Join(out, " ")
}

func (l *limited) want(got, want string) {
	l.Helper()
	if got != want {
		l.Errorf("%s, want %s", got, want)
	}
}

// briefly are connections kept: one that is would go on through the listener as it was.
const briefly = `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: briefly, namespace: shop}
spec: {host: "*.shop.svc.cluster.local", trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}}
`

// limitPolicy of a name with a spec.
func limitPolicy(name, spec string) string {
	return "---\napiVersion: policy.isthmesh.dev/v1alpha1\nkind: RateLimitPolicy\nmetadata: {name: " + name + ", namespace: shop}\nspec: {" + spec + "}\n"
}

// TestRateLimitPolicies at a sidecar, each proxy by itself. Units are so long that
// nothing comes back while the test runs, unless it is to.
func TestRateLimitPolicies(t *testing.T) {
	l := newLimited(t)
	// in runs a case with counters of its own.
	in := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			l.T = t
			l.push(briefly)
			for _, c := range l.callers {
				c.CloseIdleConnections()
			}
			f(t)
		})
	}
	in("OneForAll", func(t *testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: all, limit: {requests: 3, per: Hour}}], response: {status: 431, headers: [{name: X-Why, value: "100% full"}], rateLimitHeaders: DraftVersion03}`))
		l.want(l.asks(2, "client", "/"), "200 200")
		if r := l.ask("guest", "/"); r.StatusCode != 200 || r.Header.Get("X-Ratelimit-Limit") != "3" || r.Header.Get("X-Ratelimit-Remaining") != "0" {
			t.Errorf("%s %v", r.Status, r.Header)
		}
		if r := l.ask("guest", "/"); r.StatusCode != 431 || r.Header.Get("X-Why") != "100% full" || r.Header.Get("X-Ratelimit-Remaining") != "0" {
			t.Errorf("%s %v", r.Status, r.Header)
		}
		if n := l.proxies["reviews"].Stat("ratelimitpolicy.shop.p.http_local_rate_limit.enforced"); n != 1 {
			t.Errorf("the proxy has counted %d refusals", n)
		}
	})
	in("RefusedWithRetryAfter", func(t *testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: all, limit: {requests: 1, per: Day}}]`))
		l.ask("client", "/")
		if r := l.ask("client", "/"); r.StatusCode != 429 || r.Header.Get("Retry-After") == "" || r.Header.Get("X-Ratelimit-Limit") != "" {
			t.Errorf("%s %v", r.Status, r.Header)
		}
	})
	in("Matches", func(*testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: few, from: [{source: {principals: [cluster.local/ns/shop/sa/guest]}}], to: [{operation: {methods: [GET], paths: ["/items/{*}"]}}], when: [{key: "request.headers[x-slow]", values: ["yes"]}], limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(2, "client", "/items/1", "x-slow", "yes"), "200 200")
		l.want(l.asks(2, "guest", "/items", "x-slow", "yes"), "200 200")
		l.want(l.asks(2, "guest", "/items/1", "x-slow", "no"), "200 200")
		l.want(l.asks(2, "guest", "/items/1?a=b", "x-slow", "yes"), "200 429")
	})
	in("EveryRuleCounts", func(*testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: hourly, limit: {requests: 2, per: Hour}}, {name: daily, limit: {requests: 3, per: Day}}, {name: slow, to: [{operation: {paths: [/slow]}}], limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(2, "client", "/slow"), "200 429")
		l.want(l.asks(2, "client", "/"), "200 429")
	})
	in("Burst", func(*testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: all, limit: {requests: 1, per: Day, burst: 4}}]`))
		l.want(l.asks(5, "client", "/"), "200 200 200 200 429")
	})
	in("ByPrincipal", func(*testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: each, keys: [source.principal], limit: {requests: 2, per: Hour}}]`))
		l.want(l.asks(3, "client", "/"), "200 200 429")
		l.want(l.asks(3, "guest", "/"), "200 200 429")
		// Who has no identity shares a counter, and has one.
		for i, want := range []int{200, 200, 429} {
			if r := l.askURL("outside", "http://10.244.0.20:8080/"); r.StatusCode != want {
				t.Errorf("request %d without an identity: %s", i, r.Status)
			}
		}
	})
	in("ByHeaderAndMethod", func(*testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: each, keys: ["request.headers[X-Tenant]", request.method], limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(2, "client", "/", "x-tenant", "a"), "200 429")
		l.want(l.asks(2, "guest", "/", "x-tenant", "b"), "200 429")
		l.want(l.asks(1, "guest", "/", "x-tenant", "a"), "429")
		l.want(l.asks(2, "client", "/"), "200 429") // those without the header share one
	})
	in("ByPathAndHost", func(*testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: each, keys: [request.path, request.host], limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(2, "client", "/a?x"), "200 429")
		l.want(l.asks(1, "client", "/a?y"), "429")
		l.want(l.asks(1, "client", "/b"), "200")
	})
	in("ByAddress", func(*testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: each, keys: [remote.ip], limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(2, "client", "/"), "200 429")
		l.want(l.asks(2, "guest", "/"), "200 429")
	})
	in("FewCounters", func(*testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`maxCounters: 2, rules: [{name: each, keys: ["request.headers[x]"], limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(1, "client", "/", "x", "a")+l.asks(1, "client", "/", "x", "a"), "200429")
		l.asks(1, "client", "/", "x", "b")
		l.asks(1, "client", "/", "x", "c")
		l.want(l.asks(1, "client", "/", "x", "a"), "200") // it was forgotten
	})
	in("Shadow", func(t *testing.T) {
		l.push(briefly + limitPolicy("tried", onReviews+`mode: Shadow, rules: [{name: all, limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(3, "client", "/"), "200 200 200")
		stat := func(name string) int {
			return l.proxies["reviews"].Stat("ratelimitpolicy.shop.tried.http_local_rate_limit." + name)
		}
		if stat("rate_limited") != 2 || stat("enforced") != 0 {
			t.Errorf("counted are %d beyond the limit, %d refused", stat("rate_limited"), stat("enforced"))
		}
	})
	in("AllPoliciesHold", func(*testing.T) {
		l.push(briefly + limitPolicy("a", onReviews+`rules: [{name: all, limit: {requests: 3, per: Hour}}]`) +
			limitPolicy("b", `rules: [{name: all, limit: {requests: 2, per: Hour}}]`))
		l.want(l.asks(3, "client", "/"), "200 200 429")
	})
	in("RefusedRequestsDontCount", func(*testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: all, limit: {requests: 1, per: Hour}}]`) + `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-guests, namespace: shop}
spec: {selector: {matchLabels: {app: reviews}}, action: DENY, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/guest]}}]}]}
`)
		l.want(l.asks(3, "guest", "/"), "403 403 403")
		l.want(l.asks(2, "client", "/"), "200 429")
	})
	in("Refill", func(t *testing.T) {
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: all, limit: {requests: 1, per: Second}}]`))
		deadline, refused := time.Now().Add(eventually), false
		for time.Now().Before(deadline) {
			switch l.ask("client", "/").StatusCode {
			case 429:
				refused = true
			case 200:
				if refused {
					return
				}
			}
		}
		t.Errorf("what was used up never came back (refused: %v)", refused)
	})
	in("ServiceIsItsPorts", func(*testing.T) {
		l.push(briefly + limitPolicy("p", `targetRefs: [{kind: Service, name: admin}], rules: [{name: all, limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(3, "client", "/"), "200 200 200")
		for i, want := range []int{200, 429} {
			if r := l.askURL("client", "http://10.96.0.9/"); r.StatusCode != want {
				t.Errorf("request %d to the service: %s", i, r.Status)
			}
		}
	})
	in("Gateway", func(*testing.T) {
		l.push(briefly + limitPolicy("p", `targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}], rules: [{name: all, limit: {requests: 2, per: Hour}}]`))
		l.want(l.asks(3, "outside", "/"), "200 200 429")
		l.want(l.asks(3, "client", "/"), "200 200 200")
	})
	in("OtherLimitOnOpenConnection", func(t *testing.T) {
		l.push(limitPolicy("p", onReviews+`rules: [{name: all, limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(2, "client", "/"), "200 429")
		before := l.proxies["reviews"].Stat("listener_manager.lds.update_success")
		opened := l.proxies["reviews"].Stat("http.inbound_0.0.0.0_8080.downstream_cx_total")
		l.push(limitPolicy("p", onReviews+`rules: [{name: all, limit: {requests: 2, per: Day}}, {name: slow, to: [{operation: {paths: [/slow]}}], limit: {requests: 1, per: Hour}}]`))
		l.want(l.asks(3, "client", "/"), "200 200 429")
		if n := l.proxies["reviews"].Stat("listener_manager.lds.update_success"); n != before {
			t.Errorf("another limit made other listeners (%d updates, before %d)", n, before)
		}
		if n := l.proxies["reviews"].Stat("http.inbound_0.0.0.0_8080.downstream_cx_total"); n != opened {
			t.Errorf("another limit ended connections (%d were opened, before %d)", n, opened)
		}
	})
	in("ByClaim", func(t *testing.T) {
		keys := newTokens(t)
		l.push(briefly + limitPolicy("p", onReviews+`rules: [{name: each, keys: ["request.auth.claims[team]"], limit: {requests: 1, per: Hour}}]`) + `
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec: {jwtRules: [{issuer: i, jwks: '` + keys.set + `'}]}
`)
		blue, red, nobody := "Bearer "+keys.token("blue"), "Bearer "+keys.token("red"), "Bearer "+keys.token(7)
		l.want(l.asks(2, "client", "/", "Authorization", blue), "200 429")
		l.want(l.asks(2, "client", "/", "Authorization", red), "200 429")
		l.want(l.asks(2, "client", "/"), "200 429")
		l.want(l.asks(1, "client", "/", "Authorization", nobody), "429") // a claim that is no text is none
	})
}
