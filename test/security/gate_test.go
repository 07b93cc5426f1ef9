// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/security"
)

// gate is an ingress or egress gateway in a world, made of YAML by the whole
// pipeline.
type gate struct {
	name     string
	labels   map[string]string
	input    ingest.Input
	result   *ingest.Result
	snapshot *snapshot.Snapshot
	// signers of certificates by name.
	signers map[string]*rig.Root
	// heard counts the connections to what is behind port 15443.
	heard atomic.Int64
}

// Doors of the gateways in testdata/places. Those that sidecars have too have
// the same names and numbers.
var doors = map[string]struct {
	number string
	security.Door
}{
	"http-strict":     {"8080", security.Door{Handshake: security.Mutual, Trusts: "mesh"}},
	"http-permissive": {"8081", security.Door{Handshake: security.Optional, Trusts: "mesh"}},
	"http-plaintext":  {"8082", security.Door{}},
	"http-simple":     {"8083", security.Door{Handshake: security.Simple}},
	"http-mutual":     {"8084", security.Door{Handshake: security.Mutual, Trusts: "partner"}},
	"http-lenient":    {"8085", security.Door{Handshake: security.Lenient, Trusts: "partner"}},
	"http-api":        {"8086", security.Door{}},
	"http-originated": {"8087", security.Door{}},
	"tcp-strict":      {"7070", security.Door{Handshake: security.Mutual, Trusts: "mesh"}},
	"tcp-permissive":  {"7071", security.Door{Handshake: security.Optional, Trusts: "mesh"}},
	"tcp-plaintext":   {"7072", security.Door{}},
	"tcp-passed":      {"7073", security.Door{Handshake: security.Passed, Names: []string{"a.example", "b.example"}}},
	"tcp-mutual":      {"7074", security.Door{Handshake: security.Mutual, Trusts: "partner"}},
	"tcp-auto":        {"15443", security.Door{Handshake: security.Passed, Names: []string{"outbound_.9443_._.exported.shop.svc.cluster.local", "outbound_.9444_._.exported.shop.svc.cluster.local"}}},
}

// strangers are callers from outside the mesh.
var strangers = map[string]security.Caller{
	"partner":      {Identity: "partner.example/ns/desk/sa/buyer", Signer: "partner", Address: netip.MustParseAddr(near)},
	"partner-far":  {Identity: "partner.example/ns/desk/sa/buyer", Signer: "partner", Address: netip.MustParseAddr(far)},
	"partner-dns":  {Signer: "partner", Address: netip.MustParseAddr(near)},
	"partner-cart": {Identity: "east.example/ns/shop/sa/cart", Signer: "partner", Address: netip.MustParseAddr(near)},
	"forger":       {Identity: "east.example/ns/shop/sa/cart", Signer: "forger", Address: netip.MustParseAddr(near)},
}

// What is behind a gateway.
const behind, exported = "10.244.0.40", "10.244.0.41"

// newGate is a world around a gateway: "ingress", "egress" or "eastwest", with
// the objects of more files in testdata/places.
func newGate(t testing.TB, name string, more ...string) *world {
	t.Helper()
	w := paperGate(t, name, more...)
	w.gate.start(w)
	return w
}

// paperGate is such a world without a proxy.
func paperGate(t testing.TB, name string, more ...string) *world {
	t.Helper()
	w := newPaper(t)
	g := &gate{name: name, labels: map[string]string{"app": "server", "istio": name + "gateway"}}
	g.signers = map[string]*rig.Root{"mesh": w.root, "partner": rig.NewRoot(t), "forger": rig.NewRoot(t)}
	w.gate = g
	w.place = func(s *security.Scenario) ([]model.Problem, error) { return g.apply(w, s) }
	w.oracle.Doors, w.oracle.Ports, w.oracle.Labels = map[string]security.Door{}, map[string]string{}, g.labels
	for port, d := range doors {
		w.oracle.Doors[port], w.oracle.Ports[port] = d.Door, d.number
	}
	if served := map[string]string{"ingress": "front", "eastwest": "between"}[name]; served != "" {
		w.oracle.Gateway, w.oracle.Class = served, "istio"
		g.labels["gateway.networking.k8s.io/gateway-name"], g.labels["gateway.networking.k8s.io/gateway-class-name"] = served, "istio"
	}
	w.oracle.Callers = map[string]security.Caller{}
	for _, of := range []map[string]security.Caller{callers, strangers} {
		for who, c := range of {
			w.oracle.Callers[who] = c
			if by := g.signers[c.SignedBy()]; by != nil {
				w.leaves[who] = by.Leaf(prefixed("spiffe://", c.Identity))
				w.sessions[who] = tls.NewLRUClientSessionCache(0)
			}
		}
	}
	w.oracle.Providers = []string{"grpc", "http"}
	w.oracle.Denies = func(provider string, c security.Call, identity string) bool {
		return strings.Contains(c.Headers, "x-deny=yes") || provider == "grpc" && strings.Contains(identity, "/ns/pay/") || provider == "http" && c.TCP()
	}
	g.read(w, append([]string{"common", "exported", g.name}, more...))
	return w
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// read the objects of files in testdata/places.
func (g *gate) read(w *world, files []string) {
	w.t.Helper()
	certificate, key := w.root.Server("door.example")
	quoted := func(b []byte) string { return strings.Trim(strconv.Quote(string(b)), `"`) }
	values := strings.NewReplacer("${CERTIFICATE}", quoted(certificate), "${KEY}", quoted(key), "${MESH}", quoted(w.root.PEM()), "${PARTNER}", quoted(g.signers["partner"].PEM()))
	var text strings.Builder
	for _, file := range files {
		data, err := os.ReadFile("testdata/places/" + file + ".yaml")
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = values.WriteString(&text, string(data))
	}
	read, err := manifest.Read([]byte(text.String()))
	if err != nil {
		w.t.Fatal(err)
	}
	g.input = read.Input
	g.input.Settings = *w.settings
}

// start the gateway, what is behind it, and clients.
func (g *gate) start(w *world) {
	w.fabric = rig.New(w.t)
	fabric := w.fabric
	pod, server := fabric.Pod("shop", "gateway", serverAddress), fabric.Pod("shop", "web", behind)
	w.pods[near], w.pods[far] = fabric.Pod("outside", "near", near), fabric.Pod("outside", "far", far)
	leaf := w.root.Leaf(w.workload.Identity)
	w.behind = server
	w.proxy = pod.Envoy(rig.Options{Type: "router", Identity: w.workload.Identity, Leaf: &leaf, Labels: g.labels})
	serveHTTP(server.Listen("0.0.0.0:8080"))
	serveEcho(server.Listen("0.0.0.0:7070"))
	config := &tls.Config{Certificates: []tls.Certificate{w.root.Pair("web.example")}} //nolint:gosec // as it comes
	for _, p := range []*rig.Pod{server, fabric.Pod("shop", "exported-1", exported)} {
		serveEcho(tls.NewListener(heard{p.Listen("0.0.0.0:9443"), &g.heard}, config))
	}
	w.authorizer()
}

// providers that policies may name, in every scenario.
const gateProviders = `
extensionProviders:
- {name: grpc, envoyExtAuthzGrpc: {service: authz.shop.svc.cluster.local, port: 9000, timeout: 20s}}
- {name: http, envoyExtAuthzHttp: {service: authz.shop.svc.cluster.local, port: 8000, timeout: 20s, includeRequestHeadersInCheck: ["x-*"]}}
trustDomainAliases: [old.example]
`

// mesh of a scenario.
func (g *gate) mesh(s *security.Scenario) *ingest.Result {
	in := g.input
	in.Istio.AuthorizationPolicies, in.Istio.RequestAuthentications = s.Authorizations, s.Authentications
	in.MeshConfig = gateProviders + "pathNormalization: {normalization: " + cmp.Or(s.Normalization, "BASE") + "}\n" + s.MeshConfig
	g.result = ingest.Build(in, g.result)
	return g.result
}

func (g *gate) apply(w *world, s *security.Scenario) ([]model.Problem, error) {
	result := g.mesh(s)
	g.snapshot = snapshot.Build(result.Mesh, g.snapshot)
	w.proxyProtocol = s.Topology.ProxyProtocol != nil
	if err := w.push(g.snapshot); err != nil {
		return nil, err
	}
	for _, p := range w.along {
		if err := p.Try(g.snapshot); err != nil {
			return nil, err
		}
	}
	return append(result.Mesh.Problems, g.snapshot.Problems()...), nil
}

// knock at a gateway's port, and do what the port does about TLS.
func (w *world) knock(call security.Call) (net.Conn, error) {
	who := w.oracle.Callers[call.Caller]
	conn, err := w.pods[who.Address.String()].Dial(w.address(call.Port))
	if err != nil {
		return nil, err
	}
	deadline(conn)
	if w.proxyProtocol {
		if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s %s 1234 %s\r\n", cmp.Or(call.From, "192.0.2.99"), serverAddress, w.oracle.Ports[call.Port]); err != nil {
			return nil, err
		}
	}
	d := w.oracle.Doors[call.Port]
	if d.Handshake == security.Plain {
		return conn, nil
	}
	config := &tls.Config{InsecureSkipVerify: true, ServerName: w.oracle.ServerName(call)} //nolint:gosec // it is the client who is judged
	if leaf, ok := w.leaves[call.Caller]; ok {
		config = leaf.TLS(w.t, config.ServerName)
		config.ClientSessionCache = w.sessions[call.Caller]
	}
	if !call.TCP() {
		config.NextProtos = []string{"http/1.1"}
	}
	secured := tls.Client(conn, config)
	if err := secured.Handshake(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}
