// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// prices in one version.
func prices(version string) string {
	return strings.ReplaceAll(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: prices, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: prices-VERSION, namespace: shop}
spec:
  selector: {matchLabels: {app: prices, version: VERSION}}
  template:
    metadata: {labels: {app: prices, version: VERSION}}
    spec:
      serviceAccountName: prices
      containers:
        - name: prices
          image: isthmesh/echo:dev
          args: [serve, --http, ":8080"]
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, timeoutSeconds: 10}
---
apiVersion: v1
kind: Service
metadata: {name: prices, namespace: shop}
spec:
  selector: {app: prices}
  ports: [{name: http, port: 80, targetPort: 8080}]
`, "VERSION", version)
}

const (
	pricesExport = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: prices, namespace: shop}
`
	pricesRule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: prices, namespace: shop}
spec:
  host: prices.shop.svc.cluster.local
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
`
	pricesRoute = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: prices, namespace: shop}
spec:
  hosts: [prices]
  http:
  - route:
    - {destination: {host: prices, subset: v1}, weight: 50}
    - {destination: {host: prices, subset: v2}, weight: 50}
`
)

// A canary whose versions run in different members: half of the calls go to v1
// in west, half to v2 in east, once the rule is applied in both.
func TestSubsetsAcrossMembers(t *testing.T) {
	apply(t, "east", prices("v2")+"---"+pricesExport)
	apply(t, "west", prices("v1")+"---"+pricesRule+"---"+pricesRoute)
	kubectl(t, "east", "-n", "shop", "rollout", "status", "deployment/prices-v2", "--timeout=10m")
	kubectl(t, "west", "-n", "shop", "rollout", "status", "deployment/prices-v1", "--timeout=10m")

	eventually(t, patience, "west's rule says that east doesn't define the subsets", func() error {
		said := kubectl(t, "west", "-n", "shop", "get", "destinationrule", "prices", "-o", "jsonpath={.status.conditions}")
		if !strings.Contains(said, "OtherMembersLeftOut") || !strings.Contains(said, "in member east too") {
			return fmt.Errorf("conditions: %s", said)
		}
		return nil
	})
	apply(t, "east", pricesRule)
	eventually(t, patience, "both versions answer", func() error {
		s, err := call(t, "west", "shop", "client", "http://prices.shop/", "--count", "20")
		if err == nil && (s.Failed > 0 || len(s.ByHostname) != 2) {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	s := mustCall(t, "west", "shop", "client", "http://prices.shop/", "--count", "400")
	t.Logf("spread: %v", s.ByHostname)
	for pod, n := range s.ByHostname {
		// Chance moves a half of 400 by ten; five times that never happens.
		if n < 150 || n > 250 {
			t.Errorf("%s got %d of 400 calls, want half of them", pod, n)
		}
	}
	eventually(t, patience, "nothing is left out any more", func() error {
		if said := kubectl(t, "west", "-n", "shop", "get", "destinationrule", "prices", "-o", "jsonpath={.status.conditions}"); strings.Contains(said, "LeftOut") {
			return fmt.Errorf("conditions: %s", said)
		}
		return nil
	})
}
