// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// join makes a cluster a member and waits until it is ready.
func join(t *testing.T, name, region, zone string) {
	t.Helper()
	config, err := os.ReadFile(kubeconfig(name))
	if err != nil {
		t.Fatal(err)
	}
	apply(t, "hub", fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: %[1]s-kubeconfig, namespace: default}
stringData:
  kubeconfig: |
%[4]s
---
apiVersion: federation.isthmesh.dev/v1alpha1
kind: MeshMember
metadata: {name: %[1]s, namespace: default, labels: {mesh: shop}}
spec:
  kubeconfigSecretRef: {name: %[1]s-kubeconfig}
  network: %[1]s
  locality: {region: %[2]s, zone: %[3]s}
`, name, region, zone, indent(string(config), "    ")))
	kubectl(t, "hub", "wait", "--for=condition=Ready", "meshmember/"+name, "--timeout=10m")
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+by)
}

// podsOf tells which pods run, when they started and how often they restarted.
func podsOf(t *testing.T, cluster string) string {
	t.Helper()
	return kubectl(t, cluster, "get", "pods", "-A", "--sort-by=.metadata.uid", "-o",
		`jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.metadata.uid} {.status.containerStatuses[*].restartCount}{"\n"}{end}`)
}

// generations tells which version of each workload is there.
func generations(t *testing.T, cluster string) string {
	t.Helper()
	return kubectl(t, cluster, "get", "deployments,daemonsets", "-A", "-o",
		`jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.metadata.generation}{"\n"}{end}`)
}

// pushes reads how many pushes of a type a member's control plane has sent.
func pushes(t *testing.T, cluster string) string {
	t.Helper()
	out := kubectl(t, cluster, "get", "--raw", "/api/v1/namespaces/istio-system/services/istiod:15014/proxy/metrics")
	var lines []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "pilot_xds_pushes{") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s tells of no pushes:\n%s", cluster, out)
	}
	return strings.Join(lines, "\n")
}

// A third member joins by one more MeshMember: nothing in the others is rolled
// out or sent again. Then it leaves again, and nothing of it is left.
func TestThirdMemberJoinsAndLeaves(t *testing.T) {
	lab(t, "up", "--topology", "kind-configs/extra")
	t.Cleanup(func() { lab(t, "down", "north") })

	// On a machine that stalls proxies connect anew and gateways seem to be away, whoever
	// joins; what a member that joins changes it changes each time.
	var changed []string
	for range 3 {
		before := map[string][3]string{}
		for _, c := range []string{"east", "west"} {
			nothingUnderWay(t, c)
			before[c] = [3]string{podsOf(t, c), generations(t, c), pushes(t, c)}
		}
		join(t, "north", "ap", "ap-1")
		apply(t, "north", shopClient)
		kubectl(t, "north", "-n", "shop", "rollout", "status", "deployment/client", "--timeout=10m")
		eventually(t, patience, "north calls east", answers(t, "north", "http://catalog.shop/"))

		changed = nil
		for _, c := range []string{"east", "west"} {
			after := [3]string{podsOf(t, c), generations(t, c), pushes(t, c)}
			for i, what := range []string{"pods", "workloads", "pushes to proxies"} {
				if after[i] != before[c][i] {
					changed = append(changed, fmt.Sprintf("north joined, and %s of %s changed:\n%s\nbefore:\n%s", what, c, after[i], before[c][i]))
				}
			}
		}

		kubectl(t, "hub", "delete", "meshmember", "north", "--timeout=10m")
		if left, err := try(t, "north", "get", "namespace", "istio-system", "-o", "jsonpath={.status.phase}"); err == nil && strings.TrimSpace(left) == "Active" {
			t.Errorf("north has left, but its namespace istio-system is still there")
		}
		if len(changed) == 0 {
			return
		}
		t.Log(strings.Join(changed, "\n"))
		remove(t, "north", shopClient)
		eventually(t, patience, "north is as it was", func() error {
			if left, err := try(t, "north", "get", "namespace", "istio-system", "--ignore-not-found", "-o", "name"); err != nil || left != "" {
				return fmt.Errorf("%s: %w", left, err)
			}
			return nil
		})
	}
	t.Error(strings.Join(changed, "\n"))
}

// nothingUnderWay waits until no pod comes or goes.
func nothingUnderWay(t *testing.T, cluster string) {
	t.Helper()
	eventually(t, patience, "no pod of "+cluster+" comes or goes", func() error {
		pods := kubectl(t, cluster, "get", "pods", "-A", "-o",
			`jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{.metadata.deletionTimestamp}{"\n"}{end}`)
		for line := range strings.Lines(pods) {
			if !strings.HasSuffix(strings.TrimSpace(line), " True") {
				return errors.New(strings.TrimSpace(line))
			}
		}
		return nil
	})
}

// A member that can't be reached leaves in bounded time, and an event says what is left behind.
func TestUnreachableMemberLeaves(t *testing.T) {
	lab(t, "up", "--topology", "kind-configs/extra")
	t.Cleanup(func() { lab(t, "down", "north") })
	join(t, "north", "ap", "ap-1")
	kubectl(t, "hub", "patch", "meshmember", "north", "--type=merge", "-p", `{"spec":{"unreachableTimeout":"10s"}}`)
	lab(t, "stop", "north")

	start := time.Now()
	kubectl(t, "hub", "delete", "meshmember", "north", "--timeout=110s")
	t.Logf("gone after %s", time.Since(start))
	eventually(t, patience, "an event tells what is left", func() error {
		events := kubectl(t, "hub", "get", "events", "-A", "-o", `jsonpath={range .items[*]}{.reason}{.regarding.name}{.involvedObject.name} {.note}{.message}{"\n"}{end}`)
		for line := range strings.Lines(events) {
			if strings.HasPrefix(line, "LeftBehind") && strings.Contains(line, "north") {
				t.Log(strings.TrimSpace(line))
				return nil
			}
		}
		return fmt.Errorf("no LeftBehind event in\n%s", events)
	})
	eventually(t, patience, "the other members are ready", func() error {
		if out := kubectl(t, "hub", "get", "meshfederation", "shop", "-o", "jsonpath={.status.members.summary}"); out != "2/2" {
			return fmt.Errorf("ready: %s", out)
		}
		return nil
	})
}

var shopClient = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---` + echoClient("shop", "client", true)
