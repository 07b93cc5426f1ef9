// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Control planes of two replicas: when the one that led is killed in both
// members at once no call is lost, a pod that starts is configured, and a
// service that is exported then answers.
func TestControlPlaneReplicas(t *testing.T) {
	replicas := func(values string, want int) {
		t.Helper()
		kubectl(t, "hub", "patch", "meshfederation", "shop", "--type=merge", "-p", `{"spec":{"controlPlane":{"values":`+values+`}}}`)
		for _, m := range []string{"east", "west"} {
			eventually(t, patience, fmt.Sprintf("%s has %d replicas", m, want), func() error {
				got := kubectl(t, m, "-n", "istio-system", "get", "deployment", "istiod", "-o", "jsonpath={.spec.replicas} {.status.replicas} {.status.readyReplicas}")
				if got != fmt.Sprintf("%[1]d %[1]d %[1]d", want) {
					return fmt.Errorf("replicas wanted, there and ready: %s", got)
				}
				return nil
			})
		}
		kubectl(t, "hub", "wait", "--for=condition=Ready", "meshfederation/shop", "--timeout=10m")
	}
	t.Cleanup(func() {
		kubectl(t, "west", "-n", "shop", "scale", "deployment/client", "--replicas=1")
		replicas("null", 1)
	})
	replicas(`{"replicaCount":2}`, 2)

	caller := kubectl(t, "west", "-n", "shop", "get", "pods", "-l", "app=client", "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[0].metadata.name}")
	type result struct {
		summary
		err error
	}
	done := make(chan result, 1)
	go func() {
		s, err := callFrom(t.Context(), patience, "west", "shop", caller, "http://catalog.shop/", patient, "--rate", "100", "--count", "3000")
		done <- result{s, err}
	}()
	for _, m := range []string{"east", "west"} {
		// For a moment nobody leads when a lease was lost, and one that is gone may still be named.
		eventually(t, patience, "a replica of "+m+" leads, and is killed", func() error {
			leader, _, _ := strings.Cut(kubectl(t, m, "-n", "istio-system", "get", "lease", "isthmesh-problem-conditions", "-o", "jsonpath={.spec.holderIdentity}"), "_")
			if leader == "" {
				return errors.New("nobody leads")
			}
			_, err := try(t, m, "-n", "istio-system", "delete", "pod", leader, "--grace-period=0", "--force")
			return err
		})
	}

	kubectl(t, "west", "-n", "shop", "scale", "deployment/client", "--replicas=2")
	kubectl(t, "west", "-n", "shop", "rollout", "status", "deployment/client", "--timeout=10m")
	newest := kubectl(t, "west", "-n", "shop", "get", "pods", "-l", "app=client", "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[-1:].metadata.name}")
	apply(t, "east", ledger+"---"+ledgerExport)
	kubectl(t, "east", "-n", "shop", "rollout", "status", "deployment/ledger", "--timeout=10m")
	took := eventually(t, patience, "what is exported now answers a pod that is new", func() error {
		_, err := callFrom(t.Context(), patience, "west", "shop", newest, "http://ledger.shop/", "--count", "1")
		return err
	})
	t.Logf("the export answered %s after its pods were ready", took)

	r := <-done
	// Seconds here are those in which two processors start control planes: with the
	// weight of proxies and applications (cpu.shares) raised, the slowest takes 0.2 s.
	t.Logf("99 of 100 calls took at most %.0fms, the slowest %.0fms", r.P99, r.Slowest)
	if r.err != nil || r.Failed > 0 || r.OK != 3000 {
		t.Errorf("calls were lost: %+v: %v", r.summary, r.err)
	}
}
