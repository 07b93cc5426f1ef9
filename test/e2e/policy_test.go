// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	api "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"
	istio "istio.io/client-go/pkg/clientset/versioned"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// bystander is a pod of the mesh that the policies don't concern.
var bystander = `
apiVersion: v1
kind: Namespace
metadata: {name: bystander, labels: {istio-injection: enabled}}
---` + echoClient("bystander", "bystander", false)

// guardedServer is one that west's client calls within west.
var guardedServer = `
apiVersion: v1
kind: Namespace
metadata: {name: guarded, labels: {istio-injection: enabled}}
---` + echoServer("guarded", "server", false)

// guardedWorkload is what a policy is put on, and how west's client calls it.
type guardedWorkload struct{ cluster, namespace, app, url string }

// A policy reaches the proxy that it concerns within a second, and no other one,
// when it comes and when it goes, for a caller in the same member and for one in
// another. The time runs from before the API server is asked until the proxy has
// taken it, which its administration interface is asked every few milliseconds, and
// until a caller, who calls all the time, gets another answer.
// New connections are under it from then on; those that were open end as listeners drain.
func TestPolicyReachesWhomItConcerns(t *testing.T) {
	for _, w := range []guardedWorkload{
		{"west", "guarded", "server", "http://server.guarded/"},
		{"east", "shop", "catalog", "http://catalog.shop/"},
	} {
		t.Run(w.cluster, func(t *testing.T) {
			apply(t, w.cluster, bystander)
			if w.namespace == "guarded" {
				apply(t, w.cluster, guardedServer)
				kubectl(t, w.cluster, "-n", "guarded", "rollout", "status", "deployment/server", "--timeout=10m")
			}
			kubectl(t, w.cluster, "-n", "bystander", "rollout", "status", "deployment/bystander", "--timeout=10m")
			eventually(t, patience, "the client reaches the server", answers(t, "west", w.url))
			bystanders := []proxyPod{{w.cluster, "bystander", "bystander"}, {"west", "shop", "client"}}
			before := make([]proxyState, len(bystanders))
			for i, p := range bystanders {
				before[i] = p.settled(t)
			}
			concerned := proxyPod{w.cluster, w.namespace, w.app}
			updates := concerned.state(t).updates

			p, admin, rounds := policiesOf(t, w.cluster), concerned.admin(t), 0
			quick(t, "a DENY to come and to go", time.Second, func() time.Duration {
				rounds++
				seen := w.watch(t)
				came := seen(t, "a DENY comes", "403", p.timed(t, "a DENY comes", admin, func() error { return p.create(w) }))
				eventually(t, patience, "every call is refused", w.answered("403"))
				seen = w.watch(t)
				went := seen(t, "a DENY goes", "200", p.timed(t, "a DENY goes", admin, func() error { return p.remove(w) }))
				eventually(t, patience, "every call is let in", w.answered("200"))
				return max(came, went)
			})

			if now := concerned.state(t).updates; now != updates+2*rounds {
				t.Errorf("the proxy that it concerns was told listeners %d times, want %d", now-updates, 2*rounds)
			}
			for i, p := range bystanders {
				now := p.state(t)
				if now.updates != before[i].updates {
					t.Errorf("%v was told listeners %d times", p, now.updates-before[i].updates)
				}
				if d := cmp.Diff(before[i].dump, now.dump); d != "" {
					t.Errorf("the configuration of %v is another: %s", p, d)
				}
			}
		})
	}
}

// policies of a cluster, over a connection that is kept, so that what is timed
// is the mesh.
type policies struct {
	t       *testing.T
	clients istio.Interface
}

func policiesOf(t *testing.T, cluster string) policies {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig(cluster))
	if err != nil {
		t.Fatal(err)
	}
	clients, err := istio.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients.SecurityV1().AuthorizationPolicies("shop").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	return policies{t, clients}
}

func (p policies) create(w guardedWorkload) error {
	deny := &security.AuthorizationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "deny-client"}}
	deny.Spec.Selector = &typeapi.WorkloadSelector{MatchLabels: map[string]string{"app": w.app}}
	deny.Spec.Action = api.AuthorizationPolicy_DENY
	deny.Spec.Rules = []*api.Rule{{From: []*api.Rule_From{{Source: &api.Source{Principals: []string{"west.shop.example/ns/shop/sa/client"}}}}}}
	p.t.Cleanup(func() {
		_, _ = try(p.t, w.cluster, "-n", w.namespace, "delete", "authorizationpolicy", "deny-client", "--ignore-not-found")
	})
	_, err := p.clients.SecurityV1().AuthorizationPolicies(w.namespace).Create(p.t.Context(), deny, metav1.CreateOptions{})
	return err
}

func (p policies) remove(w guardedWorkload) error {
	return p.clients.SecurityV1().AuthorizationPolicies(w.namespace).Delete(p.t.Context(), "deny-client", metav1.DeleteOptions{})
}

// lasting is for how long a caller calls at most: until a change is seen, on a machine that is
// busy with other things.
const lasting = time.Minute

// change of policies: when it began, and after which time the proxy had taken it.
type change struct {
	began time.Time
	taken time.Duration
}

// watch has the client call all the time, and returns when its first call was answered. What it
// returns waits until a call gets a status, and tells how long after a change that was, or after
// which time the proxy had it, if that took longer.
func (w guardedWorkload) watch(t *testing.T) func(t *testing.T, what, status string, c change) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	caller := command(ctx, "kubectl", "--kubeconfig", kubeconfig("west"), "-n", "shop", "exec", "deployment/client", "-c", "client", "--",
		"/echo", "call", "--url", w.url, "--timeout", "10s", "--count", "0", "--rate", "50", "--duration", lasting.String(), "--new-connections", "--announce")
	told, err := caller.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := caller.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = caller.Wait()
	})
	lines := bufio.NewScanner(told)
	next := func(t *testing.T) (status string, at time.Time) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the caller of %s ends: %v", w.url, lines.Err())
		}
		var stamp string
		_, err := fmt.Sscanf(lines.Text(), "first %s %s", &status, &stamp)
		if err == nil {
			at, err = time.Parse(time.RFC3339Nano, stamp)
		}
		if err != nil {
			t.Fatalf("the caller says %q: %v", lines.Text(), err)
		}
		return status, at
	}
	before, _ := next(t)
	return func(t *testing.T, what, status string, c change) time.Duration {
		t.Helper()
		if before == status {
			t.Fatalf("%s: the caller saw %s before", what, status)
		}
		now, at := next(t)
		for now != status {
			now, at = next(t)
		}
		took := at.Sub(c.began)
		t.Logf("%s: a caller sees it after %s", what, took.Round(time.Millisecond))
		if took < 0 {
			t.Errorf("%s: a caller saw it %s before", what, -took)
		}
		cancel()
		return max(took, c.taken)
	}
}

// timed changes policies, and waits until the proxy has taken that.
func (p policies) timed(t *testing.T, what string, admin func() int, do func() error) change {
	t.Helper()
	before, tick := admin(), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	answered := time.Since(began)
	for admin() == before && time.Since(began) < lasting {
		<-tick.C
	}
	took := time.Since(began)
	t.Logf("%s: the proxy has it after %s; the API server took %s of that", what, took.Round(time.Millisecond), answered.Round(time.Millisecond))
	return change{began, took}
}

// answered is nil when 20 calls in a row were all answered with a status.
func (w guardedWorkload) answered(status string) func() error {
	return func() error {
		s, err := callFrom(context.Background(), patience, "west", "shop", "deployment/client", w.url, "--count", "20")
		if s.Statuses[status] != 20 {
			return fmt.Errorf("%v: %w", s.Statuses, err)
		}
		return nil
	}
}

// proxyPod is a pod with a sidecar.
type proxyPod struct{ cluster, namespace, deployment string }

// proxyState is what a sidecar was told.
type proxyState struct {
	// updates of listeners that it was sent.
	updates int
	// dump of its whole configuration, with the times of all changes. Envoy prints
	// the entries of maps in any order, so the lines are sorted.
	dump string
}

func (p proxyPod) ask(t *testing.T, path string) string {
	t.Helper()
	return kubectl(t, p.cluster, "-n", p.namespace, "exec", "deployment/"+p.deployment, "-c", "istio-proxy", "--",
		"/usr/local/bin/isthmesh-agent", "request", "GET", path)
}

// admin asks how often the proxy took listeners, over a connection that is kept.
func (p proxyPod) admin(t *testing.T) func() int {
	t.Helper()
	address := forward(t, p.cluster, p.namespace, "deployment/"+p.deployment, "15000")
	client := &http.Client{Timeout: time.Minute}
	return func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/stats?filter="+updateCounter, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return updatesIn(t, string(text))
	}
}

const updateCounter = "listener_manager.lds.update_success"

func updatesIn(t *testing.T, stats string) int {
	t.Helper()
	_, text, _ := strings.Cut(stats, updateCounter+": ")
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatalf("no %s in %q", updateCounter, stats)
	}
	return n
}

func (p proxyPod) state(t *testing.T) proxyState {
	t.Helper()
	n := updatesIn(t, p.ask(t, "stats?filter="+updateCounter))
	lines := strings.Split(strings.ReplaceAll(p.ask(t, "config_dump?include_eds=on"), ",\n", "\n"), "\n")
	slices.Sort(lines)
	return proxyState{updates: n, dump: strings.Join(lines, "\n")}
}

// marker is what only the proxies of a namespace are told of.
func (p proxyPod) marker() string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: marker, namespace: %s}
spec:
  hosts: [%s]
  exportTo: ["."]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 192.0.2.1}]
`, p.namespace, markerHost)
}

const markerHost = "marker.example"

// settled waits until the proxy has been told all that was before: what comes after it has come,
// and gone again.
func (p proxyPod) settled(t *testing.T) proxyState {
	t.Helper()
	var now proxyState
	marked := func(want bool) func() error {
		return func() error {
			if now = p.state(t); strings.Contains(now.dump, markerHost) != want {
				return fmt.Errorf("it is told of the marker: %v", !want)
			}
			return nil
		}
	}
	apply(t, p.cluster, p.marker())
	eventually(t, patience, fmt.Sprintf("%v is told of a marker", p), marked(true))
	remove(t, p.cluster, p.marker())
	eventually(t, patience, fmt.Sprintf("%v has forgotten the marker", p), marked(false))
	return now
}
