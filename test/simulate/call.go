// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// Payload is what a client sends first.
type Payload string

// The payloads that proxies tell apart.
const (
	HTTP1 Payload = "http/1.1"
	HTTP2 Payload = "h2c"
	// Bytes are neither HTTP nor TLS.
	Bytes Payload = "bytes"
	// TLS is a ClientHello.
	TLS Payload = "tls"
)

// Call is a connection that a client opens, and the first request on it.
type Call struct {
	// To is where it goes, as the client's resolver said.
	To netip.AddrPort
	// Host of the request, for HTTP.
	Host    string
	Payload Payload
	// ServerName and ALPN of the ClientHello, for TLS.
	ServerName string
	ALPN       []string
	// Peer is the identity in the client's certificate; empty for none.
	Peer string
}

// Result is where a call ends.
type Result struct {
	Listener, Chain, Route, Cluster string
	// Requests: the proxy sees requests, not a stream of bytes.
	Requests bool
	// Verified: the proxy ended mutual TLS and knows who the client is.
	Verified bool
	// Endpoints that may get the call, in the order of the endpoints' resource.
	Endpoints []Endpoint
	// Passed: TLS goes on as it came, not ended here.
	Passed bool
	// OriginalDst: it goes where the client meant it to.
	OriginalDst bool
	// Refused says why the call ends here; empty when it goes on.
	Refused string
}

// Endpoint is where a call goes on to.
type Endpoint struct {
	Address string
	Weight  uint32
	// Mutual TLS: the server name and what is offered and accepted; none when
	// SNI is empty.
	SNI        string
	ALPN       []string
	Identities []string
}

// Outbound walks a call of a workload through its own sidecar.
func Outbound(v *envoy.View, c Call) Result {
	w := walk{view: v, call: c}
	return w.end(w.outbound())
}

// Inbound walks a call that arrives at a workload through its sidecar.
func Inbound(v *envoy.View, c Call) Result {
	w := walk{view: v, call: c}
	return w.end(w.inbound())
}

// Gateway walks a call through an east-west gateway.
func Gateway(v *envoy.View, c Call) Result {
	w := walk{view: v, call: c}
	return w.end(w.gateway())
}

// walk is the state of one call on its way.
type walk struct {
	view   *envoy.View
	call   Call
	result Result
	// alpn that the request adds, and the subset of endpoints that is asked for.
	alpn  []string
	match map[string]string
}

// end turns the error that ended a walk into its result.
func (w *walk) end(err error) Result {
	if err != nil {
		w.result.Refused = err.Error()
	}
	return w.result
}

func (r Result) String() string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s %s\n", name, value)
		}
	}
	field("listener", r.Listener)
	field("chain", r.Chain)
	field("route", r.Route)
	field("cluster", r.Cluster)
	if r.Verified {
		b.WriteString("mutual TLS\n")
	}
	if r.OriginalDst {
		b.WriteString("to where it was meant\n")
	}
	for i, e := range r.Endpoints {
		fmt.Fprintf(&b, "endpoint %s", e.Address)
		if e.Weight > 1 {
			fmt.Fprintf(&b, " weight %d", e.Weight)
		}
		b.WriteString("\n")
		// Said once for all that have the same.
		if i+1 < len(r.Endpoints) && sameTLS(e, r.Endpoints[i+1]) {
			continue
		}
		switch {
		case e.SNI == "" && r.Passed:
			b.WriteString("  as it came\n")
			continue
		case e.SNI == "":
			b.WriteString("  plaintext\n")
			continue
		}
		fmt.Fprintf(&b, "  sni %s\n  alpn %s\n", e.SNI, strings.Join(e.ALPN, ","))
		for _, id := range e.Identities {
			fmt.Fprintf(&b, "  accepts %s\n", id)
		}
	}
	field("refused:", r.Refused)
	return b.String()
}

func sameTLS(a, b Endpoint) bool {
	return a.SNI == b.SNI && slices.Equal(a.ALPN, b.ALPN) && slices.Equal(a.Identities, b.Identities)
}
