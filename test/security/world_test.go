// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	ingest "github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/sidecar"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/security"
)

// ports of the workload, by the names that the table has.
var ports = map[string]string{
	"http-strict": "8080", "http-permissive": "8081", "http-plaintext": "8082",
	"tcp-strict": "7070", "tcp-permissive": "7071", "tcp-plaintext": "7072",
}

const (
	serverAddress = "10.244.0.20"
	// near is where most callers call from.
	near = "10.244.0.10"
	far  = "10.244.1.11"
)

// callers by the names that the table has.
var callers = map[string]security.Caller{
	"plain":       {Address: netip.MustParseAddr(near)},
	"plain-far":   {Address: netip.MustParseAddr(far)},
	"cart":        {Identity: "east.example/ns/shop/sa/cart", Address: netip.MustParseAddr(near)},
	"cart-far":    {Identity: "east.example/ns/shop/sa/cart", Address: netip.MustParseAddr(far)},
	"cart2":       {Identity: "east.example/ns/shop/sa/cart2", Address: netip.MustParseAddr(near)},
	"pay":         {Identity: "east.example/ns/pay/sa/till", Address: netip.MustParseAddr(near)},
	"dotted":      {Identity: "east.example/ns/pay/sa/a.b", Address: netip.MustParseAddr(near)},
	"undotted":    {Identity: "east.example/ns/pay/sa/axb", Address: netip.MustParseAddr(near)},
	"west-cart":   {Identity: "west.example/ns/shop/sa/cart", Address: netip.MustParseAddr(near)},
	"west-pay":    {Identity: "west.example/ns/pay/sa/till", Address: netip.MustParseAddr(near)},
	"old-cart":    {Identity: "old.example/ns/shop/sa/cart", Address: netip.MustParseAddr(near)},
	"literal":     {Identity: "cluster.local/ns/shop/sa/cart", Address: netip.MustParseAddr(near)},
	"shop2-cart":  {Identity: "east.example/ns/shop2/sa/cart", Address: netip.MustParseAddr(near)},
	"ns-sa":       {Identity: "east.example/ns/ns/sa/sa", Address: netip.MustParseAddr(near)},
	"subdomain":   {Identity: "a.east.example/ns/shop/sa/cart", Address: netip.MustParseAddr(near)},
	"dash-domain": {Identity: "east-example/ns/shop/sa/cart", Address: netip.MustParseAddr(near)},
}

// issuerKey signs the tokens that are valid.
type issuerKey struct{ *ecdsa.PrivateKey }

func newIssuer(t testing.TB) issuerKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issuerKey{key}
}

func (k issuerKey) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.PrivateKey}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (k issuerKey) jwks(t testing.TB) string {
	t.Helper()
	out, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.Public(), KeyID: "", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const issuer = "https://issuer.example/realm"

// claims of tokens, by the names that the table has.
var claims = map[string]map[string]any{
	"alice": {
		"iss": issuer, "sub": "alice", "aud": "shop", "azp": "app", "group": []any{"admin", "staff"},
		"scope": "read write", "nested": map[string]any{"key": "value", "dotted.name": "x"},
	},
	"bob":     {"iss": issuer, "sub": "bob", "aud": []any{"other", "shop"}, "group": "staff", "scope": "read"},
	"slash":   {"iss": issuer, "sub": "a/b"},
	"nobody":  {"iss": issuer},
	"unknown": {"iss": "https://unknown.example", "sub": "alice"},
	"expired": {"iss": issuer, "sub": "alice", "exp": 1000000000},
	"forged":  {"iss": issuer, "sub": "alice"},
}

// world is a workload behind a real Envoy, and clients.
type world struct {
	t        testing.TB
	settings *model.Settings
	workload *model.Workload
	proxy    *rig.Proxy
	pods     map[string]*rig.Pod
	root     *rig.Root
	leaves   map[string]rig.Leaf
	// sessions of callers, who take them up again wherever they are let.
	sessions map[string]tls.ClientSessionCache
	tokens   map[string]string
	issuer   issuerKey
	oracle   *security.World
	// extra clusters that policies need.
	clusters []*envoy.Resource
	// gate is set when the proxy is a gateway.
	gate *gate
	// behind is a pod behind the gateway.
	behind        *rig.Pod
	proxyProtocol bool
	// place puts a scenario's policies in force.
	place func(*security.Scenario) ([]model.Problem, error)
	// journeys of callers that have sidecars of their own, and the proxies along
	// the way that learn of the same policies.
	journeys map[string]journey
	along    []*rig.Proxy
	fabric   *rig.Fabric
	// without are defences that are taken out of what the proxy gets.
	without []string
}

// newWorld has a real Envoy.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := newPaper(t)
	w.fabric = rig.New(t)
	server := w.fabric.Pod("shop", "server", serverAddress)
	w.pods[near], w.pods[far] = w.fabric.Pod("shop", "near", near), w.fabric.Pod("shop", "far", far)
	leaf := w.root.Leaf(w.workload.Identity)
	w.proxy = server.Envoy(rig.Options{Type: "sidecar", Identity: w.workload.Identity, Leaf: &leaf, Redirect: true, Labels: w.workload.Labels})
	for name, port := range ports {
		if strings.HasPrefix(name, "http") {
			serveHTTP(server.Listen("0.0.0.0:" + port))
		} else {
			serveEcho(server.Listen("0.0.0.0:" + port))
		}
	}
	w.enroll()
	w.place = func(s *security.Scenario) ([]model.Problem, error) {
		m, problems := w.mesh(s)
		return problems, w.try(m)
	}
	return w
}

// enroll the callers: each gets a certificate, and remembers sessions.
func (w *world) enroll() {
	for name, c := range w.oracle.Callers {
		if c.Identity != "" {
			w.leaves[name] = w.root.Leaf("spiffe://" + c.Identity)
			w.sessions[name] = tls.NewLRUClientSessionCache(0)
		}
	}
}

// newPaper has a workload without a proxy.
func newPaper(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, root: rig.NewRoot(t), issuer: newIssuer(t), leaves: map[string]rig.Leaf{}, sessions: map[string]tls.ClientSessionCache{}, tokens: map[string]string{}, pods: map[string]*rig.Pod{}, journeys: map[string]journey{}}
	w.settings = &model.Settings{
		MeshID: "mesh", Cluster: "east", Network: "n1", TrustDomain: "east.example", TrustDomainAliases: []string{"old.example"},
		RootNamespace: "istio-system", DomainSuffix: "cluster.local", AutoMTLS: true, ConnectTimeoutMillis: 10000,
	}
	w.workload = &model.Workload{
		Namespace: "shop", Name: "server", ServiceAccount: "server", Meshed: true, Network: "n1",
		Identity: "spiffe://east.example/ns/shop/sa/server", Addresses: []netip.Addr{netip.MustParseAddr(serverAddress)},
		Labels: map[string]string{"app": "server"}, MTLS: model.Strict,
		PortMTLS: []model.PortMTLS{{Port: 7071}, {Port: 7072, Mode: model.Disable}, {Port: 8081}, {Port: 8082, Mode: model.Disable}},
		Inbound: []model.InboundPort{
			{Port: 7070, Protocol: model.TCP},
			{Port: 7071, Protocol: model.TCP},
			{Port: 7072, Protocol: model.TCP},
			{Port: 8080, Protocol: model.HTTP},
			{Port: 8081, Protocol: model.HTTP},
			{Port: 8082, Protocol: model.HTTP},
		},
	}
	tokens := map[string]security.Token{"garbage": {}}
	w.tokens["garbage"] = "not-a-token"
	for name, c := range claims {
		key := w.issuer
		if name == "forged" {
			key = newIssuer(t)
		}
		valid := name != "forged" && name != "unknown" && name != "expired"
		w.tokens[name] = key.sign(t, c)
		tokens[name] = security.Token{Valid: valid, Claims: c}
	}
	w.oracle = &security.World{
		Domains: []string{"east.example", "old.example"}, Namespace: "shop", Labels: w.workload.Labels, Ports: ports, Callers: maps.Clone(callers), Tokens: tokens,
		Denies: func(string, security.Call, string) bool { return true },
	}
	return w
}

// serveHTTP answers with the request's path and headers.
func serveHTTP(l net.Listener) {
	s := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("x-path", r.RequestURI)
		_ = r.Header.Write(rw)
	})}
	go func() { _ = s.Serve(l) }()
}

func serveEcho(l net.Listener) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

func (w *world) replacer() *strings.Replacer {
	return strings.NewReplacer("${JWKS}", w.issuer.jwks(w.t), "${ISSUER}", issuer)
}

// apply a scenario's policies and wait until the proxy has them.
func (w *world) apply(s *security.Scenario) []model.Problem {
	w.t.Helper()
	problems, err := w.place(s)
	if err != nil {
		w.t.Fatalf("%s: %v", s.Name, err)
	}
	return problems
}

// mesh of a scenario's policies.
func (w *world) mesh(s *security.Scenario) (*model.Mesh, []model.Problem) {
	settings := *w.settings
	settings.PathNormalization = map[string]model.PathNormalization{
		"": model.NormalizeBase, "BASE": model.NormalizeBase, "NONE": model.NormalizeNone,
		"MERGE_SLASHES": model.NormalizeMergeSlashes, "DECODE_AND_MERGE_SLASHES": model.NormalizeDecodeAndMerge,
	}[s.Normalization]
	out := ingest.Build(ingest.Input{AuthorizationPolicies: s.Authorizations, RequestAuthentications: s.Authentications, Settings: &settings}, nil)
	return &model.Mesh{Settings: &settings, Authorizations: out.Authorizations, Authentications: out.Authentications}, out.Problems
}

func (w *world) try(m *model.Mesh) error {
	view, err := w.view(m)
	if err != nil {
		return err
	}
	return w.push(fixed{w: w.workload, view: view})
}

// view is what the workload's proxy gets.
func (w *world) view(m *model.Mesh) (*envoy.View, error) {
	chosen := policy.Choose(m, policy.Guarded{Namespace: w.workload.Namespace, Labels: w.workload.Labels}, nil)
	in := sidecar.Intake{Settings: m.Settings, Workload: w.workload}
	listeners, err := in.Listeners(chosen)
	if err != nil {
		return nil, err
	}
	clusters, err := in.Clusters()
	if err != nil {
		return nil, err
	}
	return &envoy.View{Types: map[string]envoy.Layers{
		envoy.ListenerType: {Own: layer(listeners...)}, envoy.ClusterType: {Own: layer(append(clusters, w.clusters...)...)},
		envoy.EndpointType: {}, envoy.RouteType: {}, envoy.ExtensionType: {Shared: policy.Discovered(m.Settings, chosen).Configs},
	}}, nil
}

func layer(resources ...*envoy.Resource) *envoy.Layer {
	l, _ := envoy.NewLayer(resources)
	return l
}

// fixed shows every proxy the same.
type fixed struct {
	w    *model.Workload
	view *envoy.View
}

func (f fixed) View(*model.Proxy) *envoy.View           { return f.view }
func (f fixed) Workload(string, string) *model.Workload { return f.w }

func (w *world) address(port string) string { return serverAddress + ":" + w.oracle.Ports[port] }
