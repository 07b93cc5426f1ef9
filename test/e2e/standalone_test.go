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
	lab(t, "up", "--topology", "kind-configs/single")
	t.Cleanup(func() { lab(t, "down", "solo") })
	helm := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		out, err := run(ctx, "", "helm", append(args, "--kubeconfig", kubeconfig("solo"))...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	helm("install", "istio-base", "charts/base", "-n", "istio-system", "--create-namespace", "--wait")
	helm("install", "istiod", "charts/istiod", "-n", "istio-system", "--wait", "--timeout", "3m")
	helm("install", "istio-ingressgateway", "charts/gateway", "-n", "istio-system", "--wait", "--timeout", "3m")

	if out := helm("status", "istiod", "-n", "istio-system"); !strings.Contains(out, "STATUS: deployed") {
		t.Errorf("helm status istiod:\n%s", out)
	}
	pods := kubectl(t, "solo", "get", "pods", "-n", "istio-system")
	for _, name := range []string{"istiod-", "istio-ingressgateway-"} {
		if !strings.Contains(pods, name) {
			t.Errorf("no pod %s in\n%s", name, pods)
		}
	}

	apply(t, "solo", echoServer("default", "server", false)+"---"+echoClient("default", "client", false))
	settled := func() {
		t.Helper()
		for _, d := range []string{"server", "client"} {
			kubectl(t, "solo", "rollout", "status", "deployment/"+d, "--timeout=2m")
		}
	}
	settled()
	// A pod is ready a moment before the node's own proxy knows.
	eventually(t, 20*time.Second, "calls without sidecars", func() error {
		s, err := call(t, "solo", "default", "client", "http://server/", "--count", "5")
		if err == nil && len(s.Identities) != 0 {
			t.Errorf("identities without sidecars: %v", s.Identities)
		}
		return err
	})

	kubectl(t, "solo", "label", "namespace", "default", "istio-injection=enabled")
	kubectl(t, "solo", "rollout", "restart", "deployment/server", "deployment/client")
	settled()
	inits := kubectl(t, "solo", "get", "pods", "-l", "app=server", "-o", "jsonpath={.items[*].spec.initContainers[*].name}")
	if !strings.Contains(inits, "istio-proxy") {
		t.Errorf("no sidecar after the restart: %s", inits)
	}
	eventually(t, 20*time.Second, "calls are mutual TLS", func() error {
		s, err := call(t, "solo", "default", "client", "http://server/", "--count", "20")
		if err != nil {
			return err
		}
		if s.Identities["spiffe://cluster.local/ns/default/sa/default"] != 20 {
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
	start := time.Now()
	join(t, "solo", "eu", "eu-1")
	t.Logf("ready after %s", time.Since(start))

	const identity = "spiffe://solo.shop.example/ns/default/sa/default"
	seen := func(url, identity string) func() error {
		return func() error {
			s, err := call(t, "solo", "default", "client", url, "--count", "20")
			if err != nil {
				return err
			}
			if s.Identities[identity] != 20 {
				return fmt.Errorf("identities that the server saw: %v", s.Identities)
			}
			return nil
		}
	}
	if err := seen("http://server/", "spiffe://cluster.local/ns/default/sa/default")(); err != nil {
		t.Errorf("pods that were not restarted no longer call each other: %v", err)
	}
	kubectl(t, "solo", "rollout", "restart", "deployment/server", "deployment/client")
	for _, d := range []string{"server", "client"} {
		kubectl(t, "solo", "rollout", "status", "deployment/"+d, "--timeout=2m")
	}
	eventually(t, 20*time.Second, "calls inside have identities of the federation", seen("http://server/", identity))
	eventually(t, 20*time.Second, "solo calls east", seen("http://catalog.shop/", identity))

	// A gateway that Helm installed stays Helm's, and wants the new trust domain.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	upgrade := func(release, chart string, args ...string) error {
		_, err := run(ctx, "", "helm", append([]string{
			"upgrade", release, chart, "-n", "istio-system", "--reuse-values", "--wait", "--timeout", "90s", "--kubeconfig", kubeconfig("solo"),
		}, args...)...)
		return err
	}
	if err := upgrade("istio-ingressgateway", "charts/gateway", "--set", "trustDomain=solo.shop.example"); err != nil {
		t.Error(err)
	}
	// The control plane is the hub's: Helm is told so, and changes nothing.
	if err := upgrade("istiod", "charts/istiod"); err == nil || !strings.Contains(err.Error(), `conflict with "isthmesh-hub"`) {
		t.Errorf("helm upgrade istiod: %v, want a conflict with the hub", err)
	}
	if out := kubectl(t, "hub", "get", "meshmember", "solo", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); out != "True" {
		t.Errorf("Ready is %s after helm upgrade", out)
	}
}
