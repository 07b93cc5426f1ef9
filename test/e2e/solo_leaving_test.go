// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// uninstall: the commands of docs/joining.md, and what they leave.
func (m *soloMesh) uninstall(t *testing.T) {
	steps := documented(t, "Away again", 3)
	withoutSidecars, withoutMesh, withoutTraces := steps[0], steps[1], steps[2]
	sidecars := func() string {
		return kubectl(t, "solo", "-n", "shop", "get", "pods", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].spec.initContainers[*].name}")
	}
	called := func() error {
		_, err := call(t, "solo", "shop", "client", "http://server.shop/", "--count", "20")
		return err
	}

	typed(t, withoutSidecars)
	soloRolledOut(t, "server", "client")
	eventually(t, patience, "the last pod with a sidecar is gone", func() error {
		if got := sidecars(); got != "" {
			return fmt.Errorf("pods still have %s", got)
		}
		return nil
	})
	// A pod is ready a moment before the node's own proxy knows.
	eventually(t, patience, "calls without sidecars", called)

	typed(t, withoutMesh)
	if out := ours(t, "mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,clusterrolebindings"); out != "" {
		t.Errorf("Helm leaves %s", out)
	}
	if out := kubectl(t, "solo", "-n", "shop", "get", "virtualservice", "quic", "-o", "name"); out == "" {
		t.Error("what users wrote is gone")
	}
	// A namespace that still asks for sidecars gets pods all the same.
	kubectl(t, "solo", "label", "namespace", "shop", "istio-injection=enabled")
	renew(t, "server", "client")
	if got := sidecars(); got != "" {
		t.Errorf("pods without a mesh have %s", got)
	}
	eventually(t, patience, "calls without a mesh", called)

	typed(t, withoutTraces)
	if out := ours(t, "namespaces,customresourcedefinitions,configmaps,rolebindings,roles,serviceaccounts,leases,priorityclasses"); out != "" {
		t.Errorf("there is still %s", out)
	}
}

// ours are the objects of some kinds that have a name of the mesh's.
func ours(t *testing.T, kinds string) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(kubectl(t, "solo", "get", kinds, "-A", "-o", `jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}`)) {
		for _, name := range []string{"istio", "isthmesh", "gateway.networking", "multicluster"} {
			if strings.Contains(line, name) {
				out = append(out, strings.TrimSpace(line))
				break
			}
		}
	}
	return strings.Join(out, ", ")
}
