// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// soloMesh is a mesh of one cluster as Helm installs it: an ingress gateway, and a
// server and a client with sidecars in namespace shop.
type soloMesh struct {
	// address of the ingress gateway.
	address string
	// registry is the test itself, asked by the control plane.
	registry *moduleRegistry
	// authority of the certificates that the gateway shows.
	authority *authority
}

// shopHost is under which the Ingress lets calls in.
const shopHost = "shop.example"

// TestMeshOfHelmInUse shows what only kubelet, charts and injection together can: that what the
// rigs of test/pipeline show of single proxies holds for pods, from the first install until
// nothing is left. It has a cluster of its own, so nothing waits for it.
func TestMeshOfHelmInUse(t *testing.T) {
	hold(t, &soloMine)
	lab(t, "images", "--only", "opa")
	t.Parallel()
	started := hold(t, &starting)
	lab(t, "up", "--topology", "kind-configs/single")
	t.Cleanup(func() { lab(t, "down", "solo") })
	m := &soloMesh{registry: openRegistry(t, machine(t, "solo")), authority: newAuthority(t)}
	m.install(t)
	started()
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Ingress", m.ingress},
		{"Rotation", m.rotation},
		{"HTTP3", m.http3},
		{"ProxyConfig", m.proxyConfig},
		{"Authorizer", m.authorizer},
		{"Plugins", m.plugins},
		{"Uninstall", m.uninstall},
	} {
		t.Run(part.name, part.run)
	}
}

// helm runs Helm on the cluster.
func helm(t *testing.T, values string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	out, err := run(ctx, values, "helm", append(args, "-n", "istio-system", "--kubeconfig", kubeconfig("solo"))...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// machine is the address at which a cluster reaches the machine that the test is on.
func machine(t *testing.T, cluster string) string {
	t.Helper()
	server, err := url.Parse(kubectl(t, cluster, "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"))
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is sent: the kernel only chooses a source.
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "udp", server.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func (m *soloMesh) install(t *testing.T) {
	t.Helper()
	helm(t, "", "install", "istio-base", "charts/base", "--create-namespace", "--wait")
	helm(t, `
meshConfig:
  accessLogFile: /dev/stdout
  extensionProviders:
  - {name: opa, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9191, timeout: 1s}}
  - {name: opa-open, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9191, timeout: 1s, failOpen: true}}
extraContainerArgs: [--wasm-plain-registries=`+m.registry.address+`]
`, "install", "istiod", "charts/istiod", "--values", "-", "--wait", "--timeout", "10m")
	helm(t, `
service:
  ports:
  - {name: http2, port: 80}
  - {name: https, port: 443}
  - {name: http3, port: 443, protocol: UDP}
`, "install", "istio-ingressgateway", "charts/gateway", "--values", "-", "--wait", "--timeout", "10m")
	m.address = kubectl(t, "solo", "-n", "istio-system", "get", "service", "istio-ingressgateway", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
	soloApply(t, `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---`+echoServer("shop", "server", false)+"---"+echoClient("shop", "client", false))
	soloRolledOut(t, "server", "client")
}

// soloApply applies YAML for as long as the cluster is there.
func soloApply(t *testing.T, objects string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := run(ctx, objects, "kubectl", "--kubeconfig", kubeconfig("solo"), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

func soloRolledOut(t *testing.T, deployments ...string) {
	t.Helper()
	for _, d := range deployments {
		kubectl(t, "solo", "-n", "shop", "rollout", "status", "deployment/"+d, "--timeout=10m")
	}
}

// renew makes pods anew, without the time that connections have to drain.
func renew(t *testing.T, apps ...string) {
	t.Helper()
	kubectl(t, "solo", "-n", "shop", "delete", "pod", "-l", "app in ("+strings.Join(apps, ",")+")", "--grace-period=1")
	soloRolledOut(t, apps...)
}

// answer to a request that came through the ingress gateway.
type answer struct {
	status int
	header http.Header
	// seen are the headers that reached the server.
	seen http.Header
}

// ask for a path of the shop, with headers as KEY=VALUE, over a connection of its own.
func (m *soloMesh) ask(path string, headers ...string) (answer, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+m.address+path, nil)
	if err != nil {
		return answer{}, err
	}
	r.Host = shopHost
	for _, h := range headers {
		key, value, _ := strings.Cut(h, "=")
		r.Header.Set(key, value)
	}
	return sent(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}, r)
}

func sent(client *http.Client, r *http.Request) (answer, error) {
	response, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	var echoed struct{ Headers http.Header }
	if response.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, &echoed)
	}
	return answer{response.StatusCode, response.Header, echoed.Headers}, err
}

// soon waits until a request is answered with a status, and what else is wanted of the answer.
func (m *soloMesh) soon(t *testing.T, what string, status int, also func(answer) bool, path string, headers ...string) {
	t.Helper()
	took := eventually(t, patience, what, func() error {
		a, err := m.ask(path, headers...)
		if err == nil && (a.status != status || also != nil && !also(a)) {
			err = fmt.Errorf("%d %v, and the server saw %v", a.status, a.header, a.seen)
		}
		return err
	})
	t.Logf("%s: after %s", what, took.Round(time.Millisecond))
}

// steady asks again and again, each time over a connection of its own, until it is told to end, and
// returns how many requests there were.
func steady(ask func() error) (end func() (int, error)) {
	stop, done := make(chan struct{}), make(chan error, 1)
	asked := 0
	go func() {
		var failed []error
		for {
			select {
			case <-stop:
				done <- errors.Join(failed...)
				return
			default:
			}
			if err := ask(); err != nil && len(failed) < 10 {
				failed = append(failed, fmt.Errorf("request %d: %w", asked, err))
			}
			asked++
		}
	}()
	return func() (int, error) {
		close(stop)
		err := <-done
		return asked, err
	}
}

// condition is what the condition Reconciled of an object of the shop says.
func condition(t *testing.T, object string) string {
	t.Helper()
	return kubectl(t, "solo", "-n", "shop", "get", object, "-o", `jsonpath={range .status.conditions[?(@.type=="Reconciled")]}{.status} {.reason}: {.message}{end}`)
}

// tells waits until a condition says something.
func tells(t *testing.T, object string, says ...string) {
	t.Helper()
	eventually(t, patience, object+" tells", func() error {
		message := condition(t, object)
		for _, s := range says {
			if !strings.Contains(message, s) {
				return fmt.Errorf("no %q in %q", s, message)
			}
		}
		return nil
	})
}
