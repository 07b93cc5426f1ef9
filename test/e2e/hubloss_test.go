// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// The hub's whole cluster is off: calls at 100/s lose nothing, also while
// west's control plane is killed and comes back with the hub still away.
// ISTHMESH_HUBLOSS sets the length; it is 5m when not set. Meanwhile the
// tests of a cluster that has no hub run (TestMeshOfHelmInUse, TestStandaloneMeshByHelm).
func TestHubLossLosesNothing(t *testing.T) {
	hold(t, &hubThere)
	t.Parallel()
	length := 5 * time.Minute
	if v := os.Getenv("ISTHMESH_HUBLOSS"); v != "" {
		var err error
		if length, err = time.ParseDuration(v); err != nil {
			t.Fatalf("ISTHMESH_HUBLOSS=%q: %v", v, err)
		}
	}
	lab(t, "stop", "hub")
	t.Cleanup(func() {
		lab(t, "start", "hub")
		kubectl(t, "hub", "wait", "--for=condition=Ready", "node", "--all", "--timeout=10m")
		kubectl(t, "hub", "wait", "--for=condition=Ready", "meshfederation/shop", "--timeout=10m")
	})

	type result struct {
		summary
		err error
	}
	done := make(chan result, 1)
	// The oldest client pod stays while others come and go.
	caller := kubectl(t, "west", "-n", "shop", "get", "pods", "-l", "app=client", "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[0].metadata.name}")
	go func() {
		s, err := callFrom(t.Context(), length+patience, "west", "shop", caller, "http://catalog.shop/", patient, "--rate", "100", "--count", strconv.Itoa(int(length.Seconds())*100))
		done <- result{s, err}
	}()

	old := kubectl(t, "west", "-n", "istio-system", "get", "pods", "-l", "app=istiod", "-o", "jsonpath={.items[*].metadata.name}")
	kubectl(t, "west", "-n", "istio-system", "delete", "pod", "-l", "app=istiod", "--grace-period=0", "--force")
	kubectl(t, "west", "-n", "istio-system", "rollout", "status", "deployment/istiod", "--timeout=10m")
	if now := kubectl(t, "west", "-n", "istio-system", "get", "pods", "-l", "app=istiod", "-o", "jsonpath={.items[*].metadata.name}"); now == old {
		t.Errorf("the control plane was not replaced: %s", now)
	}
	// A proxy that starts now learns of east from the new control plane, which has only what it kept.
	kubectl(t, "west", "-n", "shop", "scale", "deployment/client", "--replicas=2")
	kubectl(t, "west", "-n", "shop", "rollout", "status", "deployment/client", "--timeout=10m")
	newest := kubectl(t, "west", "-n", "shop", "get", "pods", "-l", "app=client", "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[-1:].metadata.name}")
	eventually(t, patience, "a new pod calls east", func() error {
		_, err := try(t, "west", "-n", "shop", "exec", newest, "-c", "client", "--", "/echo", "call", "--url", "http://catalog.shop/", "--count", "1", "--timeout", "10s")
		return err
	})
	r := <-done
	kubectl(t, "west", "-n", "shop", "scale", "deployment/client", "--replicas=1")
	t.Logf("%s without a hub: %+v", length, r.summary)
	if r.err != nil || r.Failed > 0 || r.Sent < int(length.Seconds())*99 {
		t.Errorf("lost calls: %+v: %v", r.summary, r.err)
	}
}
