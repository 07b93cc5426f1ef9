// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/security"
	"github.com/isthmesh/isthmesh/test/simulate"
)

// paperShare of the cases, unless all are asked for: one in so many.
const paperShare = 5

// TestTableOnPaper walks the cases of the table through the simulation, which
// must say what the oracle says: it is what users are told.
func TestTableOnPaper(t *testing.T) {
	w := newPaper(t)
	w.walk(t, table(t, w, "testdata/*.txtar"), func(s *security.Scenario) func(security.Call) simulate.Result {
		m, _ := w.mesh(s)
		view, err := w.view(m)
		if err != nil {
			t.Fatal(err)
		}
		return func(c security.Call) simulate.Result { return simulate.Inbound(view, w.simulated(c)) }
	})
}

// TestTableOnPaperAtGateways does the same with the tables of gateways.
func TestTableOnPaperAtGateways(t *testing.T) {
	for place, files := range map[string][]string{
		"ingress":  {"testdata/ingress/*.txtar", "testdata/*.txtar"},
		"egress":   {"testdata/egress/*.txtar", "testdata/*.txtar"},
		"eastwest": {"testdata/eastwest/*.txtar"},
	} {
		t.Run(place, func(t *testing.T) {
			w := paperGate(t, place)
			var scenarios [][]security.Scenario
			for _, pattern := range files {
				scenarios = append(scenarios, table(t, w, pattern)...)
			}
			w.walk(t, scenarios, func(s *security.Scenario) func(security.Call) simulate.Result {
				mesh := w.gate.mesh(s).Mesh
				w.gate.snapshot = snapshot.Build(mesh, w.gate.snapshot)
				w.proxyProtocol = s.Topology.ProxyProtocol != nil
				pod := mesh.Workload("shop", "gateway")
				view := w.gate.snapshot.View(&model.Proxy{Type: model.Router, Namespace: "shop", Name: "gateway", Labels: w.gate.labels, Addresses: pod.Addresses, Workload: pod})
				return func(c security.Call) simulate.Result {
					if place == "eastwest" {
						return simulate.Gateway(view, w.simulated(c))
					}
					port, _ := strconv.ParseUint(w.oracle.Ports[c.Port], 10, 16)
					return simulate.Ingress(view, uint16(port), w.simulated(c))
				}
			})
		})
	}
}

// walk the calls of scenarios through the simulation of what a place is configured with.
func (w *world) walk(t *testing.T, files [][]security.Scenario, place func(*security.Scenario) func(security.Call) simulate.Result) {
	t.Helper()
	cases, wrong, n := 0, 0, 0
	for _, scenarios := range files {
		for i := range scenarios {
			s := &scenarios[i]
			ask := place(s)
			for _, c := range s.Calls {
				// A share is as quick as it is telling.
				if n++; !*all && n%paperShare != 0 && c.Expect == "" {
					continue
				}
				want, got := w.oracle.Verdict(s, c), ask(c)
				cases++
				refused := got.Refused != "" || slices.ContainsFunc(got.Asks, func(asked string) bool { return w.refusedBy(asked, c) })
				if refused == (want == security.Allowed) && wrong < tooMany {
					wrong++
					t.Errorf("%s %v: want %d, got\n%v", s.Name, c, want, got)
				}
			}
		}
	}
	t.Logf("%d cases", cases)
}

// refusedBy the authorizer of a cluster.
func (w *world) refusedBy(cluster string, c security.Call) bool {
	provider := "http"
	if strings.HasPrefix(cluster, envoy.Outbound(9000, "authz.shop.svc.cluster.local")) {
		provider = "grpc"
	}
	return w.oracle.Denies(provider, c, w.oracle.Known(c))
}

// simulated is the call as the simulation takes it.
func (w *world) simulated(c security.Call) simulate.Call {
	who := w.oracle.Callers[c.Caller]
	out := simulate.Call{
		To: netip.MustParseAddrPort(w.address(c.Port)), From: who.Address, Payload: simulate.HTTP1,
		Host: c.Host, Method: c.Method, Path: c.Path, Headers: map[string]string{},
	}
	if c.TCP() {
		out.Payload = simulate.Bytes
	}
	switch door, ok := w.oracle.Doors[c.Port]; {
	case ok && door.Handshake != security.Plain:
		out.Payload, out.ServerName = simulate.TLS, w.oracle.ServerName(c)
		out.Peer, out.Anonymous = prefixed("spiffe://", who.Identity), who.SignedBy() != "" && who.Identity == ""
		out.Untrusted = who.SignedBy() != door.Trusts
		if !c.TCP() {
			out.ALPN = []string{"http/1.1"}
		}
	case !ok && who.Identity != "":
		out.Payload, out.Peer, out.ALPN = simulate.TLS, "spiffe://"+who.Identity, []string{envoy.ALPNHTTP1}
		out.ServerName = w.oracle.ServerName(c)
		if c.TCP() {
			out.ALPN = []string{envoy.ALPNTCP}
		}
	}
	if w.proxyProtocol {
		out.Proxied = netip.MustParseAddr("192.0.2.99")
		if c.From != "" {
			out.Proxied = netip.MustParseAddr(c.From)
		}
	}
	for _, h := range strings.Split(c.Headers, "&") {
		if name, value, ok := strings.Cut(h, "="); ok {
			if before := out.Headers[name]; before != "" {
				value = before + "," + value
			}
			out.Headers[name] = value
		}
	}
	if c.Token != "" {
		token := w.oracle.Tokens[c.Token]
		out.Claims, out.BadToken = token.Claims, !token.Valid
	}
	return out
}
