// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/isthmesh/isthmesh/test/security"
)

// unexported are 12 ways to name a service that isn't exported, or the proxy's
// own clusters, in place of the one that is.
var unexported = []string{
	"outbound_.9443_._.kept.shop.svc.cluster.local", "OUTBOUND_.9443_._.KEPT.shop.svc.cluster.local", "outbound_.9443_._.kept.shop.svc.cluster.local.",
	"outbound|9443||kept.shop.svc.cluster.local", "outbound_.9443_.v1_.exported.shop.svc.cluster.local", "outbound_.9445_._.exported.shop.svc.cluster.local",
	"kept.shop.svc.cluster.local", "kept.shop.svc.clusterset.local", "outbound_.15012_._.istiod.istio-system.svc.cluster.local",
	"BlackHoleCluster", "xds-grpc", "",
}

// TestReplay01 (CVE-2021-31921): 144 times at each gateway that passes TLS on by
// itself, from outside and with a certificate of the mesh, no service is
// reached that isn't exported. Where the names that are asked for don't matter,
// all of it gets through.
func TestReplay01(t *testing.T) {
	for _, place := range []string{"ingress", "eastwest"} {
		t.Run(place, func(t *testing.T) {
			w := newGate(t, place)
			w.apply(&security.Scenario{Name: "no policies"})
			got := w.knocks(t)
			if len(got.reached) > 0 || got.open != 12 || got.shouts > 0 {
				t.Errorf("the exported service was reached %d times of 12, others as %q, and %d times without TLS", got.open, got.reached, got.shouts)
			}
			fmt.Printf("security: %d probes for what isn't exported at the %s gateway\n", got.probes, place)
			w.without = []string{"server-names"}
			w.apply(&security.Scenario{Name: "any server name"})
			if got := w.knocks(t); len(got.reached) != got.probes || got.shouts != 3 {
				t.Errorf("with any server name only %d of %d probes got through, and %d of 3 without TLS", len(got.reached), got.probes, got.shouts)
			}
		})
	}
}

// knocks at a gateway between networks: how many were for what isn't exported,
// which of them got through, how often the exported service was reached, and
// how many clients without TLS were heard behind the gateway.
type knocks struct {
	probes, open, shouts int
	reached              []string
}

func (w *world) knocks(t *testing.T) knocks {
	t.Helper()
	out := knocks{}
	for _, caller := range []string{"plain", "cart", "west-cart"} {
		for _, alpn := range [][]string{nil, {"istio"}, {"istio-peer-exchange", "istio"}, {"istio-http/1.1", "istio-h2"}} {
			for _, sni := range unexported {
				out.probes++
				if w.reaches(t, caller, sni, alpn) {
					out.reached = append(out.reached, caller+" "+sni)
				}
			}
			if w.reaches(t, caller, "outbound_.9443_._.exported.shop.svc.cluster.local", alpn) {
				out.open++
			}
		}
		if w.shouts(t, caller) {
			out.shouts++
		}
	}
	return out
}

// reaches is true when something behind the gateway answers over TLS.
func (w *world) reaches(t *testing.T, caller, sni string, alpn []string) bool {
	t.Helper()
	conn, err := w.pods[near].Dial(serverAddress + ":15443")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	deadline(conn)
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // whoever answers
	if leaf, ok := w.leaves[caller]; ok {
		config = leaf.TLS(t, "")
	}
	config.ServerName, config.NextProtos = sni, alpn
	return tls.Client(conn, config).Handshake() == nil
}

// shouts is true when a connection without TLS is made to what is behind the
// gateway, whatever that says to it.
func (w *world) shouts(t *testing.T, caller string) bool {
	t.Helper()
	conn, err := w.pods[w.oracle.Callers[caller].Address.String()].Dial(serverAddress + ":15443")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	deadline(conn)
	before := w.gate.heard.Load()
	_, _ = conn.Write([]byte("ping\n"))
	_, _ = io.Copy(io.Discard, conn)
	return w.gate.heard.Load() > before
}

// heard counts the connections that a listener takes.
type heard struct {
	net.Listener
	n *atomic.Int64
}

func (h heard) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err == nil {
		h.n.Add(1)
	}
	return c, err
}

// TestReplay24 (CVE-2023-27487, ISTIO-2024-006): what only proxies may say is
// not passed on for a client of a gateway, and the certificate of which the
// application hears is the connection's.
func TestReplay24(t *testing.T) {
	const betweenProxies = "X-Envoy-Peer-Metadata: forged\r\nX-Envoy-Peer-Metadata-Id: forged\r\n"
	forged := "X-Forwarded-Client-Cert: By=x;URI=spiffe://forged\r\n"
	for _, name := range []string{
		"X-Envoy-Original-Path", "X-Envoy-Original-Host", "X-Envoy-Internal", "X-Envoy-External-Address",
		"X-Envoy-Decorator-Operation", "X-Envoy-Retry-On", "X-Envoy-Upstream-Rq-Timeout-Ms", "X-Envoy-Downstream-Service-Cluster", "X-Envoy-Downstream-Service-Node",
		"X-Envoy-Force-Trace", "X-Envoy-Attempt-Count", "X-Envoy-Ip-Tags", "X-Envoy-Upstream-Alt-Stat-Name", "X-Envoy-Hedge-On-Per-Try-Timeout",
		"X-Envoy-Max-Retries", "X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms", "X-Envoy-Expected-Rq-Timeout-Ms", "X-Envoy-Upstream-Stream-Duration-Ms", "X-Envoy-Retriable-Status-Codes",
	} {
		forged += name + ": forged\r\n"
	}
	for place, calls := range map[string][]security.Call{
		"ingress": {
			{Port: "http-plaintext", Caller: "plain"},
			{Port: "http-api", Caller: "plain"},
			{Port: "http-simple", Caller: "plain"},
			{Port: "http-permissive", Caller: "plain"},
			{Port: "http-lenient", Caller: "plain"},
			{Port: "http-lenient", Caller: "forger"},
			{Port: "http-lenient", Caller: "partner"},
			{Port: "http-mutual", Caller: "partner"},
			{Port: "http-permissive", Caller: "cart"},
			{Port: "http-strict", Caller: "cart"},
		},
		"egress": {{Port: "http-plaintext", Caller: "plain"}, {Port: "http-permissive", Caller: "plain"}, {Port: "http-permissive", Caller: "cart"}, {Port: "http-strict", Caller: "cart"}},
	} {
		t.Run(place, func(t *testing.T) {
			w := newGate(t, place)
			w.apply(&security.Scenario{Name: "no policies"})
			for _, c := range calls {
				headers := forged
				if c.Port != "http-strict" {
					headers += betweenProxies
				}
				conn, err := w.connect(c)
				if err != nil {
					t.Fatal(err)
				}
				status, body := exchange(conn, headers)
				_ = conn.Close()
				if status != security.Allowed || strings.Contains(body, "forged") {
					t.Errorf("%s as %s: %d %s", c.Port, c.Caller, status, body)
				}
				// Who shows no certificate has none, and nobody vouches for one at a lenient port.
				shown := w.oracle.Callers[c.Caller]
				if (shown.SignedBy() != "") != strings.Contains(strings.ToLower(body), "x-forwarded-client-cert") ||
					(shown.Identity != "" && c.Port != "http-lenient") != strings.Contains(body, "URI=spiffe://"+shown.Identity) {
					t.Errorf("%s as %s: %s", c.Port, c.Caller, body)
				}
			}
			for _, defence := range []string{"header-removal", "nobody-internal", "whose-certificate"} {
				w.without = []string{defence}
				w.apply(&security.Scenario{Name: "without " + defence})
				conn, err := w.connect(calls[0])
				if err != nil {
					t.Fatal(err)
				}
				if _, body := exchange(conn, forged+betweenProxies); !strings.Contains(body, "forged") {
					t.Errorf("without %s the application hears %s", defence, body)
				}
				_ = conn.Close()
			}
		})
	}
}
