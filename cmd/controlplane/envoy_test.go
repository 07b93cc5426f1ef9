// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/sds"
	"github.com/isthmesh/isthmesh/test/envoybin"
)

// proxy is a real Envoy with the agent's bootstrap and a certificate of the
// control plane's CA, connected to its xDS port over mutual TLS. It has a network
// of its own, without a way out, so that its ports are nobody else's.
type proxy struct {
	admin *http.Client
	log   string
	ended chan struct{}
}

// namespaceWithClient makes a namespace, with a service account and a pod
// "client" that runs a sidecar, and starts its proxy.
func (cp *controlPlane) namespaceWithClient(t *testing.T, namespace, address string) *proxy {
	t.Helper()
	cp.pod(t, namespace, "client", address, "{app: client}", "{name: app, image: app}, {name: istio-proxy, image: proxy}")
	return cp.envoy(t, namespace, address)
}

// namespaceWithGateway does so with a pod "gateway" that has labels.
func (cp *controlPlane) namespaceWithGateway(t *testing.T, namespace, address string, labels map[string]string) *proxy {
	t.Helper()
	text, err := json.Marshal(labels)
	if err != nil {
		t.Fatal(err)
	}
	cp.pod(t, namespace, "gateway", address, string(text), "{name: istio-proxy, image: proxy, args: [proxy, router]}")
	return cp.envoyOf(t, "router", "gateway", namespace, address, labels)
}

// pod of a namespace, which is made with it, that is up.
func (cp *controlPlane) pod(t *testing.T, namespace, name, address, labels, containers string) {
	t.Helper()
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: client, namespace: %[1]s}}
---
{apiVersion: v1, kind: Pod, metadata: {name: %[2]s, namespace: %[1]s, labels: %[3]s},
  spec: {nodeName: worker, serviceAccountName: client, automountServiceAccountToken: false, containers: [%[4]s]}}
`, namespace, name, labels, containers))
	status := fmt.Sprintf(`{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q}],"conditions":[{"type":"Ready","status":"True"}]}}`, address, address)
	if _, err := cp.kube.CoreV1().Pods(namespace).Patch(t.Context(), name, "application/merge-patch+json", []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}

func (cp *controlPlane) envoy(t *testing.T, namespace, address string) *proxy {
	t.Helper()
	return cp.envoyOf(t, "sidecar", "client", namespace, address, map[string]string{"app": "client"})
}

// envoyOf a pod whose service account is "client".
func (cp *controlPlane) envoyOf(t *testing.T, kind, name, namespace, address string, labels map[string]string) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "envoy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	in := func(name string) string { return filepath.Join(dir, name) }
	controlPlaneID := spiffeid.RequireFromString("spiffe://cluster.local/ns/istio-system/sa/istiod")
	leaf := cp.leaf(t, namespace, dir, controlPlaneID)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	secrets := sds.New("test")
	if err := secrets.Set(leaf); err != nil {
		t.Fatal(err)
	}
	go func() { _ = secrets.Serve(ctx, in("sds")) }()
	cp.lead(ctx, t, in("xds"))

	b, err := bootstrap.Build(bootstrap.Options{
		Node: bootstrap.Node{
			Type: kind, Name: name, Namespace: namespace, Service: "client." + namespace, Addresses: []netip.Addr{netip.MustParseAddr(address)},
			ServiceAccount: "client", DomainSuffix: "cluster.local", ClusterID: "Kubernetes", Labels: labels, Version: "1.31.0",
			Metadata: map[string]string{"TIER": "front"},
		},
		Discovery: "istiod.istio-system.svc:15012", DiscoveryName: "istiod.istio-system.svc", DiscoveryID: controlPlaneID,
		SDSSocket: in("sds"), AdminPort: 15000, HealthPort: 15021, MetricsPort: 15090, StatusPort: 15020, MaxConnections: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	pipe := func(name string) *corev3.Address {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: in(name)}}}
	}
	b.Admin.Address = pipe("admin")
	for _, c := range b.GetStaticResources().GetClusters() {
		if c.GetName() == bootstrap.XDSCluster {
			c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
			c.LoadAssignment.Endpoints[0].LbEndpoints[0].GetEndpoint().Address = pipe("xds")
			c.UpstreamConnectionOptions = nil
		}
	}
	if err := bootstrap.Write(in("envoy.json"), b); err != nil {
		t.Fatal(err)
	}
	p := &proxy{log: in("envoy.log")}
	p.admin = &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", in("admin"))
		},
	}}
	p.start(t, in("envoy.json"))
	eventuallyUntil(t, time.Now().Add(patience), func() string {
		select {
		case <-p.ended:
			t.Fatal("Envoy has ended: ", p.said())
		default:
		}
		if state := p.get("/server_info"); !strings.Contains(state, `"state": "LIVE"`) {
			return "Envoy is not live: " + state + p.said() + cp.logged()
		}
		return ""
	})
	return p
}

// leaf is a workload's certificate, by a token of its service account.
func (cp *controlPlane) leaf(t *testing.T, namespace, dir string, id spiffeid.ID) *csr.Leaf {
	t.Helper()
	token, err := cp.kube.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "client",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"istio-ca"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var root string
	eventually(t, func() string {
		m, err := cp.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), "istio-ca-root-cert", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		root = m.Data["root-cert.pem"]
		return ""
	})
	for name, text := range map[string]string{"token": token.Status.Token, "root": root} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	authority := &csr.Client{
		Address: cp.xds, ServerName: "istiod.istio-system.svc", ServerID: id, RootFile: filepath.Join(dir, "root"), TokenFile: filepath.Join(dir, "token"),
		Identity: "spiffe://cluster.local/ns/" + namespace + "/sa/client", Cluster: "Kubernetes", TTL: time.Hour,
	}
	var leaf *csr.Leaf
	eventually(t, func() string { // as the agent does it: it asks again
		if leaf, err = authority.Request(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
	return leaf
}

// lead a socket to the xDS port.
func (cp *controlPlane) lead(ctx context.Context, t *testing.T, path string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := new(net.Dialer).DialContext(ctx, "tcp", cp.xds)
			if err != nil {
				_ = from.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
					_ = way[1].Close()
				}()
			}
		}
	}()
}

func (p *proxy) start(t *testing.T, config string) {
	t.Helper()
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	cmd := exec.CommandContext(t.Context(), envoybin.Path(t), "-c", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "--component-log-level", "misc:error")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Log("Envoy:", p.said())
		}
	})
}

func (p *proxy) said() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(0, len(b)-4000):])
}

func (p *proxy) get(path string) string {
	r, err := p.admin.Get("http://envoy" + path)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

// has waits until Envoy's configuration in force has a text, or hasn't, and
// returns how long that took. The mask leaves out what it refused.
func (p *proxy) has(t *testing.T, is bool, text string) time.Duration {
	t.Helper()
	start := time.Now()
	eventuallyUntil(t, start.Add(patience), func() string {
		for _, part := range []string{"dynamic_listeners&mask=active_state.listener", "dynamic_route_configs", "dynamic_active_clusters", "ecds_filters"} {
			if strings.Contains(p.get("/config_dump?resource="+part), text) {
				if is {
					return ""
				}
				return fmt.Sprintf("Envoy still has %q", text)
			}
		}
		if is {
			return fmt.Sprintf("Envoy doesn't have %q: %s", text, p.said())
		}
		return ""
	})
	return time.Since(start)
}
