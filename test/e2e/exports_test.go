// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
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

// onItsWay is what the news of an endpoint that is gone may take to the pod's
// own sidecar.
const onItsWay = 250 * time.Millisecond

// Scaling from 1 to 3: all three answer, and a removed pod gets no request once
// its endpoint is gone and its sidecar knows. No call is lost.
func TestScaling(t *testing.T) {
	scale := func(n int) {
		kubectl(t, "east", "-n", "shop", "scale", "deployment/catalog", fmt.Sprintf("--replicas=%d", n))
		kubectl(t, "east", "-n", "shop", "rollout", "status", "deployment/catalog", "--timeout=2m")
	}
	t.Cleanup(func() { scale(1) })
	scale(3)
	var pods []string
	eventually(t, 30*time.Second, "three pods", func() error { // those of an earlier test may be on their way out
		pods = strings.Fields(kubectl(t, "east", "-n", "shop", "get", "pods", "-l", "app=catalog", "-o", "jsonpath={.items[*].metadata.name}"))
		if len(pods) != 3 {
			return fmt.Errorf("pods: %v", pods)
		}
		return nil
	})
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
	endpointGone := withoutEndpoint(t, gone)
	type outcome struct {
		summary
		err error
	}
	called := make(chan outcome, 1)
	go func() {
		s, err := call(t, "west", "shop", "client", "http://catalog.shop/", "--count", "800", "--rate", "100")
		called <- outcome{s, err}
	}()
	// While that goes on the pod serves, and then it is deleted.
	if s := mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "100", "--rate", "100"); s.ByHostname[gone] == 0 {
		t.Errorf("%s answers nothing before it is deleted: %v", gone, s.ByHostname)
	}
	kubectl(t, "east", "-n", "shop", "delete", "pod", gone, "--wait=false")
	var since time.Time
	select {
	case since = <-endpointGone:
	case <-time.After(10 * time.Second):
		t.Fatal("its endpoint is not gone after 10 s")
	}
	out := <-called
	if out.err != nil || out.Failed > 0 || out.OK != 800 {
		t.Errorf("calls were lost while a pod was removed: %+v: %v", out.summary, out.err)
	}
	last := out.Last[gone]
	t.Logf("%s: %d requests, the last one %s before its endpoint was gone", gone, out.ByHostname[gone], since.Sub(last))
	if out.ByHostname[gone] == 0 {
		t.Errorf("%s answered nothing: %v", gone, out.ByHostname)
	}
	if last.After(since.Add(onItsWay)) {
		t.Errorf("%s got a request %s after its endpoint was gone", gone, last.Sub(since))
	}
	s := mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "1000")
	if n := s.ByHostname[gone]; n > 0 {
		t.Errorf("%s got %d of 1,000 requests after that: %v", gone, n, s.ByHostname)
	}
}

// withoutEndpoint tells when a pod is no longer among catalog's ready endpoints in east.
func withoutEndpoint(t *testing.T, pod string) <-chan time.Time {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig("east"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	which := metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=catalog"}
	all, err := client.DiscoveryV1().EndpointSlices("shop").List(t.Context(), which)
	if err != nil {
		t.Fatal(err)
	}
	which.ResourceVersion = all.ResourceVersion
	watch, err := client.DiscoveryV1().EndpointSlices("shop").Watch(t.Context(), which)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Stop)
	gone := make(chan time.Time, 1)
	go func() {
		for event := range watch.ResultChan() {
			slice, ok := event.Object.(*discoveryv1.EndpointSlice)
			if !ok {
				t.Logf("the watch of EndpointSlices ends: %v", event.Object)
				return
			}
			if !slices.ContainsFunc(slice.Endpoints, func(e discoveryv1.Endpoint) bool {
				return e.TargetRef != nil && e.TargetRef.Name == pod && e.Conditions.Ready != nil && *e.Conditions.Ready
			}) {
				gone <- time.Now()
				return
			}
		}
	}()
	return gone
}
