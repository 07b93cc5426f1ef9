// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	ingest "github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/test/envoybin"
	"github.com/isthmesh/isthmesh/test/security"
)

// TestReplay20 (CVE-2022-21679): an Envoy that is older than the control plane
// leaves out fields of filters that it doesn't know, in silence, and lets in what they
// were to refuse. Written as JSON it refuses them, so all that policies are made
// of is shown to it. `make security-previous` does so with the Envoy before this one.
func TestReplay20(t *testing.T) {
	known := guarded(t)
	if said, err := accepted(t, known); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	future := strings.Replace(known, `"rules":{`, `"rules":{"from_the_future":1,`, 1)
	if said, err := accepted(t, future); err == nil || !strings.Contains(said, "from_the_future") {
		t.Errorf("Envoy takes a rule with a field that it doesn't know: %v %s", err, said)
	}
}

// accepted by Envoy, and what it says.
func accepted(t *testing.T, config string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, envoybin.Unshared([]byte(config)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), envoybin.Path(t), "--mode", "validate", "--log-level", "error", "-c", file).CombinedOutput()
	return string(out), err
}

// guarded is an Envoy's configuration, with listeners of requests and connections
// under generated policies.
func guarded(t *testing.T) string {
	t.Helper()
	w := newPaper(t)
	w.settings.Providers = providers()
	r := security.Random{Rand: rand.New(rand.NewPCG(20, 22))}
	var listeners []json.RawMessage
	for n := range 30 {
		var in ingest.Input
		for i := range 20 {
			p, tokens := r.Policy(n*20+i), r.Tokens(n*20+i)
			p.Namespace, p.Spec.Selector = "shop", nil
			in.AuthorizationPolicies = append(in.AuthorizationPolicies, p)
			if i%5 == 0 {
				in.RequestAuthentications = append(in.RequestAuthentications, tokens)
			}
		}
		in.Settings = w.settings
		listeners = append(listeners, w.listener(t, fmt.Sprint("l", n), in))
	}
	for _, scenarios := range table(t, w, "testdata/*.txtar") {
		for i, s := range scenarios {
			listeners = append(listeners, w.listener(t, fmt.Sprint(s.Name, i), ingest.Input{AuthorizationPolicies: s.Authorizations, RequestAuthentications: s.Authentications, Settings: w.settings}))
		}
	}
	clusters := []json.RawMessage{asJSON(t, static(t, 9000, true)), asJSON(t, static(t, 8000, false))}
	for _, name := range []string{envoy.SDSCluster, "application"} {
		clusters = append(clusters, json.RawMessage(fmt.Sprintf(`{"name": %q, "type": "STATIC"}`, name)))
	}
	out, err := json.Marshal(map[string]any{
		"node":             map[string]any{"id": "sidecar~10.244.0.20~server.shop~shop.svc.cluster.local", "cluster": "server.shop"},
		"static_resources": map[string]any{"listeners": listeners, "clusters": clusters},
		"layered_runtime":  map[string]any{"layers": []any{map[string]any{"name": "static", "static_layer": map[string]any{"re2.max_program_size.error_level": 32768}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// listener with one chain of requests and one of connections.
func (w *world) listener(t *testing.T, name string, in ingest.Input) json.RawMessage {
	t.Helper()
	out := ingest.Build(in, nil)
	chosen := policy.Choose(&model.Mesh{Settings: w.settings, Authorizations: out.Authorizations, Authentications: out.Authentications},
		policy.Guarded{Namespace: "shop", Labels: w.workload.Labels}, nil)
	m := envoy.HTTPManager(w.settings, name)
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{}}
	m.HttpFilters = append(policy.HTTP(w.settings, chosen), m.HttpFilters...)
	l := &listenerv3.Listener{
		Name: name, Address: envoy.Address("127.0.0.1", 0), ListenerFilters: []*listenerv3.ListenerFilter{envoy.TLSInspector()},
		FilterChains: []*listenerv3.FilterChain{
			{FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "tls"}, TransportSocket: envoy.ServerTLS(w.settings.MeshTLS), Filters: []*listenerv3.Filter{envoy.HTTPManagerFilter(m)}},
			{Filters: append(policy.TCP(w.settings, chosen), envoy.TCPProxyFilter(envoy.TCPProxy(w.settings, "application")))},
		},
	}
	resource, err := envoy.NewResource(name, l)
	if err != nil {
		t.Fatal(err)
	}
	return asJSON(t, resource)
}

func asJSON(t *testing.T, r *envoy.Resource) json.RawMessage {
	t.Helper()
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
