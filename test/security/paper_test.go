// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/test/security"
	"github.com/isthmesh/isthmesh/test/simulate"
)

// paperShare of the cases, unless all are asked for: one in so many.
const paperShare = 5

// TestTableOnPaper walks the cases of the table through the simulation, which
// must say what the oracle says: it is what users are told.
func TestTableOnPaper(t *testing.T) {
	w := newPaper(t)
	cases, n := 0, 0
	for _, scenarios := range table(t, w, "testdata/*.txtar") {
		for i := range scenarios {
			s := &scenarios[i]
			m, _ := w.mesh(s)
			view, err := w.view(m)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range s.Calls {
				// A share is as quick as it is telling.
				if n++; !*all && n%paperShare != 0 && c.Expect == "" {
					continue
				}
				want := w.oracle.Verdict(s, c)
				cases++
				if got := simulate.Inbound(view, w.simulated(c)); (got.Refused == "") != (want == security.Allowed) {
					t.Errorf("%s %v: want %d, got\n%v", s.Name, c, want, got)
				}
			}
		}
	}
	t.Logf("%d cases", cases)
}

func (w *world) simulated(c security.Call) simulate.Call {
	who := callers[c.Caller]
	out := simulate.Call{
		To: netip.MustParseAddrPort(w.address(c.Port)), From: who.Address, Payload: simulate.HTTP1,
		Host: c.Host, Method: c.Method, Path: c.Path, Headers: map[string]string{},
	}
	if c.TCP() {
		out.Payload = simulate.Bytes
	}
	if who.Identity != "" {
		out.Payload, out.Peer, out.ALPN = simulate.TLS, "spiffe://"+who.Identity, []string{envoy.ALPNHTTP1}
		if c.TCP() {
			out.ALPN = []string{envoy.ALPNTCP}
		}
	}
	for _, h := range strings.Split(c.Headers, "&") {
		if name, value, ok := strings.Cut(h, "="); ok {
			out.Headers[name] = value
		}
	}
	if c.Token != "" {
		token := w.oracle.Tokens[c.Token]
		out.Claims, out.BadToken = token.Claims, !token.Valid
	}
	return out
}
