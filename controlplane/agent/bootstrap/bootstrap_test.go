// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/test/envoybin"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func sidecar() bootstrap.Options {
	return bootstrap.Options{
		Node: bootstrap.Node{
			Type: "sidecar", Name: "reviews-1", Namespace: "shop", ServiceAccount: "reviews", DomainSuffix: "cluster.local",
			Service: "reviews.shop", Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.7")},
			ClusterID: "west", Network: "west", MeshID: "shop", WorkloadName: "reviews", NodeName: "node-1", Version: "1.0",
			Owner:  "kubernetes://apis/apps/v1/namespaces/shop/deployments/reviews",
			Labels: map[string]string{"app": "reviews"}, DNSCapture: true, Region: "eu", Zone: "eu-1",
			ProxyConfig: []byte(`{"concurrency":2}`),
			// A variable cannot make it another proxy.
			Metadata: map[string]string{"NAMESPACE": "other", "DNS_CAPTURE": "false", "OWN": "value"},
		},
		Discovery: "istiod.istio-system.svc:15012", DiscoveryName: "istiod.istio-system.svc",
		DiscoveryID: spiffeid.RequireFromString("spiffe://west.shop.example/ns/istio-system/sa/istiod"),
		SDSSocket:   "/etc/istio/proxy/sds.sock",
		AdminPort:   15000, HealthPort: 15021, MetricsPort: 15090, StatusPort: 15020,
		MaxConnections: 1000, MaxHeap: 1 << 30,
	}
}

func TestBuild(t *testing.T) {
	router := sidecar()
	router.Node.Type, router.Node.DNSCapture, router.Node.ProxyConfig, router.IPv6, router.MaxHeap = "router", false, nil, true, 0
	router.Node.Addresses = append(router.Node.Addresses, netip.MustParseAddr("2001:db8::7"))
	router.Stats = bootstrap.Stats{Prefixes: []string{"cluster.outbound", "server"}, Regexps: []string{`http\..*`}, Statsd: netip.MustParseAddrPort("[2001:db8::9]:9125")}
	router.LogService = bootstrap.LogService{Address: "logs.shop:15000", MutualTLS: true, Keepalive: true, Probes: 3, Interval: 10}
	router.Runtime = map[string]string{"a.number": "1.5", "a.flag": "true", "a.text": "NaN"}

	eastwest := sidecar()
	eastwest.Node.Type, eastwest.Node.Labels = "router", map[string]string{"istio": "eastwestgateway"}

	for name, o := range map[string]bootstrap.Options{"sidecar": sidecar(), "router": router, "eastwest": eastwest} {
		t.Run(name, func(t *testing.T) {
			b, err := bootstrap.Build(o)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "envoy.json")
			if err := bootstrap.Write(file, b); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// protojson varies its spaces on purpose.
			var got bytes.Buffer
			if err := json.Indent(&got, body, "", "  "); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(golden, append(bytes.TrimSpace(got.Bytes()), '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(t, want), plain(t, got.Bytes())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			out, err := exec.Command(envoybin.Path(t), "--mode", "validate", "-l", "error", "--disable-hot-restart", "-c", file).CombinedOutput()
			if err != nil {
				t.Errorf("envoy does not take it: %v\n%s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(strings.ToLower(line), "deprecated") {
					t.Errorf("envoy says: %s", line)
				}
			}
		})
	}
}

func plain(t *testing.T, body []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBuildErrors(t *testing.T) {
	cases := map[string]struct {
		change func(*bootstrap.Options)
		err    string
	}{
		"NoPort":      {func(o *bootstrap.Options) { o.Discovery = "istiod" }, `discovery address "istiod" must be host:port`},
		"PortZero":    {func(o *bootstrap.Options) { o.Discovery = "istiod:0" }, `discovery address "istiod:0" has no port number`},
		"NoIdentity":  {func(o *bootstrap.Options) { o.DiscoveryID = spiffeid.ID{} }, "no identity of the control plane"},
		"ProxyConfig": {func(o *bootstrap.Options) { o.Node.ProxyConfig = []byte("[]") }, "read the proxy configuration"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := sidecar()
			c.change(&o)
			if _, err := bootstrap.Build(o); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
