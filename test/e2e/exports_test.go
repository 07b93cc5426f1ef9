// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const ledger = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: ledger, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger, namespace: shop}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      serviceAccountName: ledger
      containers:
        - name: ledger
          image: isthmesh/echo:dev
          args: [serve, --http, ":8080"]
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: shop}
spec:
  selector: {app: ledger}
  ports: [{name: http, port: 80, targetPort: 8080}]
`

const ledgerExport = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: ledger, namespace: shop}
`

// A service that isn't exported can't be reached through any gateway; exporting
// it makes it answer within 2 s, withdrawing closes it within 2 s.
func TestExportOpensAndWithdrawalCloses(t *testing.T) {
	apply(t, "east", ledger)
	kubectl(t, "east", "-n", "shop", "rollout", "status", "deployment/ledger", "--timeout=2m")
	sni := "outbound_.80_._.ledger.shop.svc.cluster.local"

	closed := func() error { return gatewayRefuses(t, sni) }
	if err := closed(); err != nil {
		t.Fatalf("before the export: %v", err)
	}
	if s, err := call(t, "west", "shop", "client", "http://ledger.shop/", "--count", "3"); err == nil || s.OK > 0 {
		t.Fatalf("an unexported service answers: %+v", s)
	}

	apply(t, "east", ledgerExport)
	took := eventually(t, 10*time.Second, "the exported service answers", answers(t, "west", "http://ledger.shop/"))
	t.Logf("exported: answers after %s", took)
	if took > 2*time.Second {
		t.Errorf("the export took %s to answer, more than 2s", took)
	}
	if err := closed(); err == nil {
		t.Error("the gateway refuses an exported service")
	}

	remove(t, "east", ledgerExport)
	took = eventually(t, 10*time.Second, "the withdrawn service is closed", closed)
	t.Logf("withdrawn: closed after %s", took)
	if took > 2*time.Second {
		t.Errorf("the withdrawal took %s to close, more than 2s", took)
	}
	eventually(t, 2*time.Second, "west no longer calls it", func() error {
		if s, err := call(t, "west", "shop", "client", "http://ledger.shop/", "--count", "1"); err == nil && s.OK > 0 {
			return fmt.Errorf("it still answers: %+v", s)
		}
		return nil
	})
}

// Scaling from 1 to 3: all three answer, and a removed pod gets no request
// once its endpoint is gone and what was on its way has ended. No call is lost.
func TestScaling(t *testing.T) {
	scale := func(n int) {
		kubectl(t, "east", "-n", "shop", "scale", "deployment/catalog", fmt.Sprintf("--replicas=%d", n))
		kubectl(t, "east", "-n", "shop", "rollout", "status", "deployment/catalog", "--timeout=2m")
	}
	t.Cleanup(func() { scale(1) })
	scale(3)
	pods := strings.Fields(kubectl(t, "east", "-n", "shop", "get", "pods", "-l", "app=catalog", "-o", "jsonpath={.items[*].metadata.name}"))
	if len(pods) != 3 {
		t.Fatalf("pods: %v", pods)
	}
	eventually(t, 20*time.Second, "all three pods answer", func() error {
		s := mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "1000")
		for _, p := range pods {
			if s.ByHostname[p] == 0 {
				return fmt.Errorf("%s answered nothing: %v", p, s.ByHostname)
			}
		}
		t.Logf("spread: %v", s.ByHostname)
		return nil
	})

	gone := pods[0]
	kubectl(t, "east", "-n", "shop", "delete", "pod", gone, "--wait=false")
	eventually(t, 10*time.Second, "its endpoint is gone", func() error {
		ready := kubectl(t, "east", "-n", "shop", "get", "endpointslices", "-l", "kubernetes.io/service-name=catalog",
			"-o", `jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.targetRef.name} {end}`)
		if slices.Contains(strings.Fields(ready), gone) {
			return fmt.Errorf("ready endpoints: %s", ready)
		}
		return nil
	})
	// The pod ends what was on its way to it: for two seconds it may still
	// answer, and nothing is lost. From then on it gets nothing.
	mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "400", "--rate", "200")
	s := mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "1000", "--rate", "200")
	if n := s.ByHostname[gone]; n > 0 {
		t.Errorf("%s got %d of 1,000 requests two seconds after its endpoint was gone: %v", gone, n, s.ByHostname)
	}
}
