// SPDX-License-Identifier: Apache-2.0

package accepted_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/credential"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/generate"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

var (
	configurations = flag.Int("configurations", 40, "how many configurations of accepted objects are given to Envoy")
	from           = flag.Int("from", 0, "the first seed that is drawn with: others draw other objects")
)

// kinds that are drawn, and how many of each are in force together.
var kinds = []struct {
	kind, version string
	spec          *rapid.Generator[proto.Message]
	together      int
}{
	{"VirtualService", "networking.istio.io/v1", generate.Spec(&networking.VirtualService{}), 4},
	{"DestinationRule", "networking.istio.io/v1", generate.Spec(&networking.DestinationRule{}), 4},
	{"Gateway", "networking.istio.io/v1", generate.Spec(&networking.Gateway{}), 2},
	{"ServiceEntry", "networking.istio.io/v1", generate.Spec(&networking.ServiceEntry{}), 3},
	{"WorkloadEntry", "networking.istio.io/v1", generate.Spec(&networking.WorkloadEntry{}), 1},
	{"Sidecar", "networking.istio.io/v1", generate.Spec(&networking.Sidecar{}), 1},
	{"AuthorizationPolicy", "security.istio.io/v1", generate.Spec(&security.AuthorizationPolicy{}), 2},
	{"RequestAuthentication", "security.istio.io/v1", generate.Spec(&security.RequestAuthentication{}), 1},
	{"PeerAuthentication", "security.istio.io/v1", generate.Spec(&security.PeerAuthentication{}), 1},
}

// TestEnvoyTakesWhatIsAccepted draws objects of every kind until admission has
// accepted enough for a configuration, and gives it to a running sidecar and a running
// ingress gateway: neither refuses a resource, and all that they have gets warm. Each
// configuration takes the place of the one before.
func TestEnvoyTakesWhatIsAccepted(t *testing.T) {
	y := newYard(t)
	seed, given := *from, map[string]int{}
	drawn, earlier := 0, []string(nil)
	for round := range *configurations {
		if round > 0 && round%500 == 0 {
			t.Logf("%d of %d configurations taken; next seed %d", round, *configurations, seed)
		}
		y.settings.OutboundRegistryOnly = round%2 == 1
		var batch []string
		for _, k := range kinds {
			for n := 0; n < k.together; {
				drawn++
				o, ok := mended(t, object(t, k.kind, k.version, n, k.spec.Example(seed)))
				seed++
				if ok {
					batch = append(batch, o)
					n++
					given[k.kind]++
				}
			}
		}
		for n := 0; n < limitsTogether; {
			drawn++
			o, ok := mended(t, limitPolicy(t, n, seed))
			seed++
			if ok {
				batch = append(batch, o)
				n++
				given["RateLimitPolicy"]++
			}
		}
		if err := y.try(t, batch); err != nil {
			t.Fatalf("Envoy doesn't take what is accepted, seeds before %d: %.3000v\n%s\n\nafter\n%s", seed, err, strings.Join(least(t, y.settings, batch), "\n"), strings.Join(earlier, "\n"))
		}
		earlier = batch
	}
	t.Logf("%d configurations taken; the objects that were accepted, of %d drawn: %v", *configurations, drawn, given)
}

// TestEnvoyTakesWhatWasFound gives it what an earlier version wrote so that Envoy
// refused it: one configuration in each file, with both modes for unknown hosts.
func TestEnvoyTakesWhatWasFound(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing in testdata: %v", err)
	}
	y := newYard(t)
	for _, file := range files {
		for _, only := range []bool{false, true} {
			y.settings.OutboundRegistryOnly = only
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := y.try(t, []string{string(text)}); err != nil {
				t.Errorf("%s, registry only %v: %v", file, only, err)
			}
		}
	}
}

// namespaces in which objects are: the proxies', another, and the one for all.
var namespaces = []string{"shop", "shop", "bank", "istio-system"}

// object of a kind as JSON.
func object(t *testing.T, kind, version string, n int, spec proto.Message) string {
	t.Helper()
	text, err := protojson.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ToLower(kind)
	if kind == "Gateway" {
		name = "front"
	}
	whole, err := json.Marshal(map[string]any{
		"apiVersion": version, "kind": kind, "spec": json.RawMessage(text),
		"metadata": map[string]any{"namespace": namespaces[n%len(namespaces)], "name": fmt.Sprintf("%s-%d", name, n)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(whole)
}

var settings = model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local", Cluster: "here", Network: "n1", AutoMTLS: true, ConnectTimeoutMillis: 1000}

// yard is a world with two real Envoys in it.
type yard struct {
	world       string
	settings    model.Settings
	credentials []*model.Credential
	proxies     map[string]*rig.Proxy
}

func newYard(t *testing.T) *yard {
	t.Helper()
	world, err := os.ReadFile("../fields/testdata/world.yaml")
	if err != nil {
		t.Fatal(err)
	}
	root, fabric := rig.NewRoot(t), rig.New(t)
	envoy := func(name, address, account, kind string, labels map[string]string) *rig.Proxy {
		identity := "spiffe://cluster.local/ns/shop/sa/" + account
		leaf := root.Leaf(identity)
		return fabric.Pod("shop", name, address).Envoy(rig.Options{Type: kind, Labels: labels, Identity: identity, Leaf: &leaf})
	}
	y := &yard{world: string(world), settings: settings, proxies: map[string]*rig.Proxy{
		"sidecar": envoy("reviews-1", "10.244.0.21", "reviews", "sidecar", map[string]string{"app": "reviews", "version": "v1"}),
		"gateway": envoy("gateway-1", "10.244.0.30", "gateway", "router", map[string]string{"istio": "ingressgateway", "app": "gateway"}),
	}}
	var secrets []*corev1.Secret
	for _, name := range []string{"front", "back"} {
		chain, key := root.Server("a.example.com", "*.example.com")
		secrets = append(secrets, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{corev1.TLSCertKey: chain, corev1.TLSPrivateKeyKey: key, "ca.crt": root.PEM()},
		})
	}
	y.credentials = credential.Build(secrets, nil, nil).Credentials
	return y
}

// try what the objects make of the world on both Envoys.
func (y *yard) try(t *testing.T, objects []string) error {
	t.Helper()
	read, err := manifest.Read([]byte(y.world + "\n---\n" + strings.Join(objects, "\n---\n")))
	if err != nil {
		t.Fatal(err)
	}
	read.Settings, read.Credentials = y.settings, y.credentials
	mesh := ingest.Build(read.Input, nil).Mesh
	s := snapshot.Build(mesh, nil)
	if twice := twice(mesh, s); twice != "" {
		return fmt.Errorf("%s is there twice", twice)
	}
	for _, name := range slices.Sorted(maps.Keys(y.proxies)) {
		if err := y.proxies[name].Try(s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// twice is a resource that some pod's proxy has two of: one would hide the other.
func twice(mesh *model.Mesh, s *snapshot.Snapshot) string {
	for _, w := range mesh.Workloads {
		p := &model.Proxy{Type: model.Sidecar, Namespace: w.Namespace, Name: w.Name, Workload: w, Labels: w.Labels, Addresses: w.Addresses}
		if w.Labels["istio"] != "" {
			p.Type = model.Router
		}
		for of, layers := range s.View(p).Types {
			seen := map[string]bool{}
			for _, r := range slices.Concat(layers.Shared.Resources(), layers.Own.Resources()) {
				if seen[r.Name] {
					return of + " " + r.Name
				}
				seen[r.Name] = true
			}
		}
	}
	return ""
}

// least of the objects that Envoy doesn't take when it had none of them before; all
// of them when it does take them so.
func least(t *testing.T, settings model.Settings, objects []string) []string {
	t.Helper()
	takes := func(objects []string) (taken bool) {
		t.Run("Again", func(t *testing.T) {
			y := newYard(t)
			y.settings = settings
			taken = y.try(t, nil) != nil || y.try(t, objects) == nil
		})
		return taken
	}
	if takes(objects) {
		return objects
	}
	for i := 0; i < len(objects); {
		if fewer := slices.Delete(slices.Clone(objects), i, i+1); takes(fewer) {
			i++
		} else {
			objects = fewer
		}
	}
	return objects
}
