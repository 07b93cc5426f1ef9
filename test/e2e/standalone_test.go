// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A mesh without a hub, by the real Helm: the charts give an ordinary
// single-cluster mesh with a root of its own.
func TestStandaloneMeshByHelm(t *testing.T) {
	t.Parallel()
	hold(t, &soloMine)
	started := hold(t, &starting)
	lab(t, "up", "--topology", "kind-configs/single")
	t.Cleanup(func() { lab(t, "down", "solo") })
	steps := documented(t, "A mesh by Helm", 2)
	typed(t, steps[0])
	if out := helm(t, "", "status", "istiod"); !strings.Contains(out, "STATUS: deployed") {
		t.Errorf("helm status istiod:\n%s", out)
	}
	pods := kubectl(t, "solo", "get", "pods", "-n", "istio-system")
	for _, name := range []string{"istiod-", "istio-ingressgateway-"} {
		if !strings.Contains(pods, name) {
			t.Errorf("no pod %s in\n%s", name, pods)
		}
	}

	soloApply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---"+echoServer("shop", "server", false)+"---"+echoClient("shop", "client", false))
	soloRolledOut(t, "server", "client")
	// A pod is ready a moment before the node's own proxy knows.
	eventually(t, patience, "calls without sidecars", func() error {
		s, err := call(t, "solo", "shop", "client", "http://server/", "--count", "5")
		if err == nil && len(s.Identities) != 0 {
			t.Errorf("identities without sidecars: %v", s.Identities)
		}
		return err
	})

	typed(t, steps[1])
	soloRolledOut(t, "server", "client")
	started()
	inits := kubectl(t, "solo", "-n", "shop", "get", "pods", "-l", "app=server", "-o", "jsonpath={.items[*].spec.initContainers[*].name}")
	if !strings.Contains(inits, "istio-proxy") {
		t.Errorf("no sidecar after the restart: %s", inits)
	}
	eventually(t, patience, "calls are mutual TLS", func() error {
		s, err := call(t, "solo", "shop", "client", "http://server/", "--count", "20")
		if err != nil {
			return err
		}
		if s.Identities["spiffe://cluster.local/ns/shop/sa/default"] != 20 {
			return fmt.Errorf("identities that the server saw: %v", s.Identities)
		}
		return nil
	})

	t.Run("BecomesMember", func(t *testing.T) { becomesMember(t) })
}

// becomesMember makes the mesh that Helm installed a member: what Helm installed
// is the hub's from then on, pods go on until they are restarted, and then have
// identities of the federation and call what others export.
func becomesMember(t *testing.T) {
	hold(t, hubThere.RLocker())
	start := time.Now()
	join(t, "solo", "eu", "eu-1")
	t.Logf("ready after %s", time.Since(start))

	const identity = "spiffe://solo.shop.example/ns/shop/sa/default"
	seen := func(url, identity string) func() error {
		return func() error {
			s, err := call(t, "solo", "shop", "client", url, "--count", "20")
			if err != nil {
				return err
			}
			if s.Identities[identity] != 20 {
				return fmt.Errorf("identities that the server saw: %v", s.Identities)
			}
			return nil
		}
	}
	if err := seen("http://server/", "spiffe://cluster.local/ns/shop/sa/default")(); err != nil {
		t.Errorf("pods that were not restarted no longer call each other: %v", err)
	}
	steps := documented(t, "What changes, and when", 2)
	typed(t, steps[0])
	soloRolledOut(t, "server", "client")
	eventually(t, patience, "calls inside have identities of the federation", seen("http://server/", identity))
	eventually(t, patience, "solo calls east", seen("http://catalog.shop/", identity))

	// A gateway that Helm installed stays Helm's, and wants the new trust domain.
	typed(t, steps[1])
	kubectl(t, "solo", "-n", "istio-system", "rollout", "status", "deployment/istio-ingressgateway", "--timeout=10m")
	// The control plane is the hub's: Helm is told so, and changes nothing.
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	_, err := run(ctx, "", "helm", "upgrade", "istiod", "charts/istiod", "-n", "istio-system", "--reuse-values", "--wait", "--timeout", "90s", "--kubeconfig", kubeconfig("solo"))
	if err == nil || !strings.Contains(err.Error(), `conflict with "isthmesh-hub"`) {
		t.Errorf("helm upgrade istiod: %v, want a conflict with the hub", err)
	}
	// Helm forgets the releases, and nothing else changes.
	typed(t, documented(t, "Helm afterwards", 1)[0])
	if out := helm(t, "", "list", "--short"); strings.TrimSpace(out) != "istio-ingressgateway" {
		t.Errorf("Helm's releases: %q, want the gateway's alone", out)
	}
	kubectl(t, "solo", "-n", "istio-system", "rollout", "status", "deployment/istiod", "--timeout=10m")
	kubectl(t, "hub", "wait", "--for=condition=Ready", "meshmember/solo", "--timeout=10m")
}
