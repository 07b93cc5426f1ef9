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
	// Bind is the address of the gateway's listener, where several have the port; empty for the first.
	Bind string
	// Host of the request, for HTTP.
	Host    string
	Payload Payload
	// Method, Scheme and Path with its query; GET, http and / when empty.
	Method, Scheme, Path string
	// Headers of the request, each name once.
	Headers map[string]string
	// Pick is which of several clusters it goes to.
	Pick int
	// ServerName and ALPN of the ClientHello, for TLS.
	ServerName string
	ALPN       []string
	// Peer is the identity in the client's certificate; empty for none.
	Peer string
	// Anonymous: the client's certificate has no identity in it. Untrusted: nobody
	// whom the port trusts has signed it.
	Anonymous, Untrusted bool
	// From is the client's address, Proxied the one that a line of the PROXY
	// protocol names in its place.
	From, Proxied netip.Addr
	// Claims of a token that its issuer vouches for; BadToken: there is one, and
	// nobody does.
	Claims   map[string]any
	BadToken bool
}

// Result is where a call ends.
type Result struct {
	Listener, Chain, Route, Cluster string
	// Request is what becomes of an HTTP request on its route.
	Request
	// call that it is the result of.
	call Call
	// Requests: the proxy sees requests, not a stream of bytes.
	Requests bool
	// Verified: the proxy ended mutual TLS and knows who the client is.
	Verified bool
	// Endpoints that may get the call, in the order of the endpoints' resource.
	Endpoints []Endpoint
	// Passed: TLS goes on as it came, not ended here.
	Passed bool
	// Shown are the names of the certificates that the proxy ends TLS with, and
	// Demanded says that the client needs one too.
	Shown    []string
	Demanded bool
	// Policy says which policy decided, and Asks which external authorizers have
	// yet to agree.
	Policy string
	Asks   []string
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
	// TLS says that there is any, and Secrets what it is known by: the names of the
	// client's certificates, then of the authority that the server's is checked with.
	TLS     bool
	Secrets []string
}

// Outbound walks a call of a workload through its own sidecar.
func Outbound(v *envoy.View, c Call) Result {
	w := walk{view: v, call: c, result: Result{call: c}}
	return w.end(w.outbound())
}

// Inbound walks a call that arrives at a workload through its sidecar.
func Inbound(v *envoy.View, c Call) Result {
	w := walk{view: v, call: c, result: Result{call: c}}
	return w.end(w.inbound())
}

// Gateway walks a call through an east-west gateway.
func Gateway(v *envoy.View, c Call) Result {
	w := walk{view: v, call: c, result: Result{call: c}}
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
	// remote is the client's address, as whoever is trusted says.
	remote netip.Addr
}

// end turns the error that ended a walk into its result.
func (w *walk) end(err error) Result {
	if err != nil {
		w.result.Refused = err.Error()
	}
	return w.result
}

// Said is what becomes of the request: its rule, its cluster, or why it is
// refused. Nothing is said of listeners and endpoints.
func (r Result) Said() string {
	var b strings.Builder
	field := to(&b)
	r.write(field, r.call)
	field("cluster", r.Cluster)
	field("refused:", r.Refused)
	return b.String()
}

// to write lines that say something.
func to(b *strings.Builder) func(name, value string) {
	return func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%s %s\n", name, value)
		}
	}
}

func (r Result) String() string {
	var b strings.Builder
	field := to(&b)
	field("listener", r.Listener)
	field("chain", r.Chain)
	field("route", r.Route)
	r.write(field, r.call)
	field("cluster", r.Cluster)
	field("policy:", r.Policy)
	for _, a := range r.Asks {
		field("asks", a)
	}
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
