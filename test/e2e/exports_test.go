// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
)

var ledger = echoServer("shop", "ledger", true)

const ledgerExport = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: ledger, namespace: shop}
`

// A service that isn't exported can't be reached through any gateway; exporting
// it makes it answer within 2 s, withdrawing closes it within 2 s.
func TestExportOpensAndWithdrawalCloses(t *testing.T) {
	apply(t, "east", ledger)
	kubectl(t, "east", "-n", "shop", "rollout", "status", "deployment/ledger", "--timeout=10m")
	sni := "outbound_.80_._.ledger.shop.svc.cluster.local"

	closed := func() error { return gatewayRefuses(t, sni) }
	if err := closed(); err != nil {
		t.Fatalf("before the export: %v", err)
	}
	if s, err := call(t, "west", "shop", "client", "http://ledger.shop/", "--count", "3"); err == nil || s.OK > 0 {
		t.Fatalf("an unexported service answers: %+v", s)
	}

	quick(t, "to answer when exported, and to be closed when withdrawn", 2*time.Second, func() time.Duration {
		apply(t, "east", ledgerExport)
		opened := eventually(t, patience, "the exported service answers", answers(t, "west", "http://ledger.shop/"))
		// Of the two gateways the client needed only one.
		eventually(t, patience, "the gateway answers", func() error {
			return gatewayAnswers(t, sni, "spiffe://east.shop.example/ns/shop/sa/ledger")
		})
		remove(t, "east", ledgerExport)
		shut := eventually(t, patience, "the withdrawn service is closed", closed)
		t.Logf("exported: answers after %s; withdrawn: closed after %s", opened, shut)
		return max(opened, shut)
	})
	eventually(t, patience, "west no longer calls it", func() error {
		if s, err := call(t, "west", "shop", "client", "http://ledger.shop/", "--count", "1"); err == nil && s.OK > 0 {
			return fmt.Errorf("it still answers: %+v", s)
		}
		return nil
	})
}

// Scaling from 1 to 3: all three answer, and a removed pod gets no request once
// its endpoint is gone. No call that hasn't reached it is lost.
func TestScaling(t *testing.T) {
	scale := func(n int) {
		kubectl(t, "east", "-n", "shop", "scale", "deployment/catalog", fmt.Sprintf("--replicas=%d", n))
		kubectl(t, "east", "-n", "shop", "rollout", "status", "deployment/catalog", "--timeout=10m")
	}
	t.Cleanup(func() { scale(1) })
	scale(3)
	quick(t, "a pod whose endpoint is no longer ready, though it is still there, to get its last request", time.Second, func() time.Duration {
		threeAnswer(t)
		return removePod(t)
	})
}

// threeAnswer waits until three pods of catalog answer.
func threeAnswer(t *testing.T) {
	t.Helper()
	var pods []string
	eventually(t, patience, "three pods", func() error { // those of an earlier test may be on their way out
		pods = strings.Fields(kubectl(t, "east", "-n", "shop", "get", "pods", "-l", "app=catalog", "-o", "jsonpath={.items[*].metadata.name}"))
		if len(pods) != 3 {
			return fmt.Errorf("pods: %v", pods)
		}
		return nil
	})
	eventually(t, patience, "all three pods answer", func() error {
		s := mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "1000")
		for _, p := range pods {
			if s.ByHostname[p] == 0 {
				return fmt.Errorf("%s answered nothing: %v", p, s.ByHostname)
			}
		}
		t.Logf("spread: %v", s.ByHostname)
		return nil
	})
}

// removePod removes one of catalog's pods while it is called, and returns how long after its
// endpoint was no longer ready it got its last request. One after its endpoint was gone counts as
// a second more.
func removePod(t *testing.T) time.Duration {
	t.Helper()
	const calls = 1500
	type outcome struct {
		summary
		err error
	}
	called := make(chan outcome, 1)
	go func() {
		s, err := call(t, "west", "shop", "client", "http://catalog.shop/", patient, "--count", fmt.Sprint(calls), "--rate", "100")
		called <- outcome{s, err}
	}()
	// While that goes on a pod serves, and then it is deleted. A connection leads to one pod for
	// many requests, so it is the one that serves most: another may just have had none.
	before := mustCall(t, "west", "shop", "client", "http://catalog.shop/", patient, "--count", "100", "--rate", "100")
	gone := slices.MaxFunc(slices.Sorted(maps.Keys(before.ByHostname)), func(a, b string) int { return before.ByHostname[a] - before.ByHostname[b] })
	endpointGone := leaving(t, gone)
	kubectl(t, "east", "-n", "shop", "delete", "pod", gone, "--wait=false")
	var since departure
	select {
	case since = <-endpointGone:
	case <-time.After(patience):
		t.Fatalf("its endpoint is not gone after %s", patience)
	}
	if since.err != nil {
		t.Fatal(since.err)
	}
	out := <-called
	// One call may be on its way into the application at the very moment in which
	// that closes its connections: docs/adr/0004 says why nobody repeats it.
	cut := slices.DeleteFunc(slices.Clone(out.Errors), func(e string) bool { return strings.HasSuffix(e, "reset reason: connection termination") })
	if out.Failed > 1 || out.Failed+out.OK != calls || len(cut) > 0 {
		t.Errorf("calls were lost while a pod was removed: %+v: %v", out.summary, out.err)
	}
	if out.ByHostname[gone] == 0 {
		t.Errorf("%s answered nothing: %v", gone, out.ByHostname)
	}
	last := out.Last[gone]
	t.Logf("%s: %d requests, the last one %s before its endpoint was not ready, %s before it was gone",
		gone, out.ByHostname[gone], since.unready.Sub(last), since.gone.Sub(last))
	s := mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "1000")
	if n := s.ByHostname[gone]; n > 0 {
		t.Errorf("%s got %d of 1,000 requests after that: %v", gone, n, s.ByHostname)
	}
	late := last.Sub(since.unready)
	if last.After(since.gone) {
		late = max(late, last.Sub(since.gone)) + time.Second
	}
	return late
}

// departure of a pod: when its endpoint was no longer ready, and when the slice
// no longer had it; or that nobody told.
type departure struct {
	unready, gone time.Time
	err           error
}

// leaving tells when a pod of catalog in east has left the EndpointSlices.
func leaving(t *testing.T, pod string) <-chan departure {
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
	left := make(chan departure, 1)
	go func() {
		var d departure
		for event := range watch.ResultChan() {
			slice, ok := event.Object.(*discoveryv1.EndpointSlice)
			if !ok {
				left <- departure{err: fmt.Errorf("the watch of EndpointSlices ends: %v", event.Object)}
				return
			}
			i := slices.IndexFunc(slice.Endpoints, func(e discoveryv1.Endpoint) bool { return e.TargetRef != nil && e.TargetRef.Name == pod })
			if d.unready.IsZero() && (i < 0 || !ptr.Deref(slice.Endpoints[i].Conditions.Ready, true)) {
				d.unready = time.Now()
			}
			if i < 0 {
				d.gone = time.Now()
				left <- d
				return
			}
		}
	}()
	return left
}
