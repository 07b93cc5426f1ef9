// SPDX-License-Identifier: Apache-2.0

package networking_test

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/networking"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/golden"
)

func settings() *model.Settings {
	return &model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local"}
}

// input of networking.Build is what manifest reads.
func input(i *ingest.Istio, s *model.Settings) networking.Input {
	return networking.Input{
		VirtualServices: i.VirtualServices, DestinationRules: i.DestinationRules, Gateways: i.Gateways,
		Sidecars: i.Sidecars, ProxyConfigs: i.ProxyConfigs, EnvoyFilters: i.EnvoyFilters, Settings: s,
	}
}

// TestScenarios builds the objects of each file and compares the parts of the
// model that they give with those in the file. Files: settings.yaml,
// objects.yaml, model.
func TestScenarios(t *testing.T) {
	golden.Archives(t, "model", []string{"settings.yaml", "objects.yaml"}, func(t *testing.T, parts map[string][]byte) string {
		s := settings()
		if err := yaml.UnmarshalStrict(parts["settings.yaml"], s); err != nil {
			t.Fatal(err)
		}
		read, err := manifest.Read(parts["objects.yaml"])
		if err != nil {
			t.Fatal(err)
		}
		if len(read.Skipped) > 0 {
			t.Fatalf("objects that are not read: %v", read.Skipped)
		}
		return describe(networking.Build(input(&read.Istio, s), nil))
	})
}
