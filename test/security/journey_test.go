// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/pipeline/scenario"
	"github.com/isthmesh/isthmesh/test/security"
)

// journey is how the application of a caller that has a sidecar of its own
// comes to the proxy of a world.
type journey struct {
	pod *rig.Pod
	// to is where it calls, by the port of the table that it comes to in the end.
	to map[string]string
}

// sidecar for a caller: from now on its calls go through it.
func (w *world) sidecar(caller, name, address string, to map[string]string) *rig.Proxy {
	w.t.Helper()
	who := w.oracle.Callers[caller]
	identity := "spiffe://" + who.Identity
	namespace := strings.Split(who.Identity, "/")[2]
	leaf := w.root.Leaf(identity)
	pod := w.fabric.Pod(namespace, name, address)
	w.journeys[caller] = journey{pod: pod, to: to}
	return pod.Envoy(rig.Options{Type: "sidecar", Identity: identity, Leaf: &leaf, Redirect: true})
}

// seenAs is the caller's address as the proxy that judges sees it.
func (w *world) seenAs(caller, address string) {
	who := w.oracle.Callers[caller]
	who.Address = netip.MustParseAddr(address)
	w.oracle.Callers[caller] = who
}

// onPorts is the part of the table that some callers can ask at some ports. Change
// makes a call one that they can make, and is false when there is none.
func onPorts(files [][]security.Scenario, ports, callers []string, change func(*security.Call) bool) [][]security.Scenario {
	var out [][]security.Scenario
	for _, scenarios := range files {
		var kept []security.Scenario
		for _, s := range scenarios {
			calls := s.Calls
			s.Calls = nil
			for _, c := range calls {
				if slices.Contains(ports, c.Port) && slices.Contains(callers, c.Caller) && change(&c) {
					s.Calls = append(s.Calls, c)
				}
			}
			if len(s.Calls) > 0 {
				kept = append(kept, s)
			}
		}
		out = append(out, kept)
	}
	return out
}

// outside are the hosts beyond the egress gateway in places/way-out.yaml, by the
// server name that sidecars ask the gateway for on their behalf.
var outside = map[string]string{
	"outside.example": "outside.example", "a.outside.example": "outside.example", "secret.example": "outside.example", "other.test": "outside.example",
	"a.example": "a.example", "b.example": "b.example",
}

// newWayOut is the egress gateway with callers that have sidecars: what their
// applications say in plaintext goes over mutual TLS to the gateway, and from there outside.
func newWayOut(t testing.TB) *world {
	t.Helper()
	w := newGate(t, "egress", "way-out")
	out := map[string]string{"http-strict": "203.0.113.80:80", "tcp-strict": "203.0.113.80:7070"}
	w.along = []*rig.Proxy{w.sidecar("cart", "cart-1", "10.244.0.50", out), w.sidecar("pay", "till-1", "10.244.0.51", out)}
	w.seenAs("cart", "10.244.0.50")
	w.seenAs("pay", "10.244.0.51")
	return w
}

// TestTableOnTheWayOut executes what the table has for egress gateways, and what
// it has for all, on the whole way from an application through its sidecar and the egress
// gateway to a server outside.
func TestTableOnTheWayOut(t *testing.T) {
	w := newWayOut(t)
	files := slices.Concat(table(t, w, "testdata/way-out/*.txtar"), some(table(t, w, "testdata/egress/*.txtar"), 2), some(table(t, w, "testdata/*.txtar"), 6))
	files = onPorts(files, []string{"http-strict", "tcp-strict"}, []string{"cart", "pay", "plain"}, func(c *security.Call) bool {
		if c.Host == "server" || c.TCP() {
			c.Host = "outside.example"
		}
		name := outside[strings.ToLower(c.Host)]
		if c.Caller == "plain" || name == "" || c.SNI != "" && c.SNI != name {
			return c.Caller == "plain"
		}
		c.SNI = name
		return true
	})
	enough(t, w.execute(t, files, func(security.Call) string { return "sidecar to egress gateway to outside" }), 3000)

	// The identity is the application's own, from end to end.
	w.apply(&security.Scenario{Name: "no policies"})
	for caller, want := range map[string]string{"cart": "URI=spiffe://east.example/ns/shop/sa/cart", "pay": "URI=spiffe://east.example/ns/pay/sa/till"} {
		conn, err := w.connect(security.Call{Port: "http-strict", Caller: caller})
		if err != nil {
			t.Fatal(err)
		}
		if status, body := exchangeWith(conn, "outside.example", "X-Forwarded-Client-Cert: By=x;URI=spiffe://forged\r\n"); status != security.Allowed || !strings.Contains(body, want) || strings.Contains(body, "forged") {
			t.Errorf("as %s: %d %s", caller, status, body)
		}
		_ = conn.Close()
	}
}

// some of the scenarios unless all are asked for: one in so many, and those that
// a person judged.
func some(files [][]security.Scenario, in int) [][]security.Scenario {
	out := make([][]security.Scenario, len(files))
	for i, scenarios := range files {
		for j, s := range scenarios {
			if *all || j%in == 0 {
				out[i] = append(out[i], s)
			}
		}
	}
	return out
}

// The two members of a crossing.
const (
	eastMember = `
member east network=n2 trust=east.example
service shop/server vip=10.96.1.7 port=80/HTTP port=7070/TCP exported id=shop/server
endpoint shop/server:80 10.244.0.20:8080
endpoint shop/server:7070 10.244.0.20:7070
workload shop/server 10.244.0.20 sa=server mtls=Strict labels=app=server in=8080/HTTP in=7070/TCP
`
	westMember = `
member west network=n1 trust=west.example
service shop/server vip=240.240.0.7 port=80/HTTP port=7070/TCP imported remote id=east.example/shop/server
import shop/server:80 gateway=10.244.2.9:15443 member=east network=n2 weight=1
import shop/server:7070 gateway=10.244.2.9:15443 member=east network=n2 weight=1
workload shop/cart-1 10.244.1.50 sa=cart
workload pay/till-1 10.244.1.51 sa=till
`
)

// newCrossing is a workload of east whose callers in west come through their
// sidecars and east's gateway between networks.
func newCrossing(t testing.TB) *world {
	t.Helper()
	w := newPaper(t)
	w.fabric = rig.New(t)
	east, west := member(t, w, eastMember), member(t, w, westMember)
	server := w.fabric.Pod("shop", "server", serverAddress)
	w.pods[near], w.pods[far] = w.fabric.Pod("shop", "near", near), w.fabric.Pod("shop", "far", far)
	leaf := w.root.Leaf(w.workload.Identity)
	w.proxy = server.Envoy(rig.Options{Type: "sidecar", Identity: w.workload.Identity, Leaf: &leaf, Redirect: true, Labels: w.workload.Labels})
	serveHTTP(server.Listen("0.0.0.0:8080"))
	serveEcho(server.Listen("0.0.0.0:7070"))
	gateway := w.fabric.Pod("istio-system", "istio-eastwestgateway-1", "10.244.2.9").Envoy(rig.Options{
		Type: "router", Labels: map[string]string{"istio": "eastwestgateway"}, Identity: "spiffe://east.example/ns/istio-system/sa/istio-eastwestgateway",
	})
	w.enroll()
	to := map[string]string{"http-strict": "240.240.0.7:80", "tcp-strict": "240.240.0.7:7070"}
	// A connection that is open when policies change takes one request more.
	west.Policies = []*model.DestinationPolicy{{
		Origin: model.Origin{Kind: "DestinationRule", Namespace: "shop", Name: "server"}, Host: "server.shop.svc.cluster.local",
		Policy: model.TrafficPolicy{PortPolicy: model.PortPolicy{Connections: &model.ConnectionPool{MaxRequestsPerConn: 1}}},
	}}
	abroad := snapshot.Build(west, nil)
	for _, p := range []*rig.Proxy{w.sidecar("west-cart", "cart-1", "10.244.1.50", to), w.sidecar("west-pay", "till-1", "10.244.1.51", to)} {
		p.Push(abroad)
	}
	w.seenAs("west-cart", "10.244.2.9")
	w.seenAs("west-pay", "10.244.2.9")
	var last *snapshot.Snapshot
	w.place = func(s *security.Scenario) ([]model.Problem, error) {
		policies, problems := w.mesh(s)
		m := *east
		m.Authorizations, m.Authentications = policies.Authorizations, policies.Authentications
		last = snapshot.Build(&m, last)
		if err := w.push(last); err != nil {
			return nil, err
		}
		return problems, gateway.Try(last)
	}
	return w
}

// member of a federation, with the world's own settings of policies.
func member(t testing.TB, w *world, lines string) *model.Mesh {
	t.Helper()
	m, rest, err := scenario.Mesh(lines)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v %q", err, rest)
	}
	if m.Settings.TrustDomain == w.settings.TrustDomain {
		m.Settings.TrustDomainAliases = w.settings.TrustDomainAliases
	}
	return m
}

// TestTableAcrossMembers executes the table for callers of another member whose
// calls come through their sidecars and the gateway between networks: who calls is
// told by a certificate that nobody on the way could have shown.
func TestTableAcrossMembers(t *testing.T) {
	w := newCrossing(t)
	files := some(table(t, w, "testdata/*.txtar"), 2)
	for i := range files {
		// The gateway is in the root namespace, and so under its policies too.
		files[i] = slices.DeleteFunc(files[i], func(s security.Scenario) bool {
			for _, p := range s.Authorizations {
				if p.Namespace == "istio-system" {
					return true
				}
			}
			return false
		})
	}
	files = onPorts(files, []string{"http-strict", "tcp-strict"}, []string{"cart", "pay", "plain", "west-cart", "west-pay"}, func(c *security.Call) bool {
		if c.Host == "server" {
			c.Host = "server.shop.svc.cluster.local"
		}
		if c.TCP() {
			c.SNI = "outbound_.7070_._.server.shop.svc.cluster.local"
		}
		return c.TCP() || c.Host == "server.shop.svc.cluster.local"
	})
	enough(t, w.execute(t, files, func(c security.Call) string {
		if _, far := w.journeys[c.Caller]; far {
			return "sidecar to east-west gateway to sidecar"
		}
		return "sidecar, beside callers of another member"
	}), 3000)
}
