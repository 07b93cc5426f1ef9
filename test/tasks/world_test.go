// SPDX-License-Identifier: Apache-2.0

package tasks_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// world is the cluster that all pages share, and what lies outside of it.
type world struct {
	t      *testing.T
	fabric *rig.Fabric
	// mesh signs identities, public the servers that the world trusts.
	mesh, public *rig.Root
	pods         map[string]*rig.Pod
	proxies      map[string]*rig.Proxy
	apps         map[string]*app
	// base are the objects that are always there.
	base     string
	result   *ingest.Result
	snapshot *snapshot.Snapshot
}

// The pods of testdata/base.yaml, and those that no cluster knows.
var pods = map[string]struct{ namespace, address, account, router string }{
	"curl":           {"default", "10.244.0.10", "curl", ""},
	"v1":             {"default", "10.244.0.11", "bookinfo", ""},
	"v2":             {"default", "10.244.0.12", "bookinfo", ""},
	"v3":             {"default", "10.244.0.13", "bookinfo", ""},
	"ingressgateway": {"istio-system", "10.244.0.21", "istio-ingressgateway", "ingressgateway"},
	"egressgateway":  {"istio-system", "10.244.0.22", "istio-egressgateway", "egressgateway"},
	// Without a sidecar.
	"region1.zone1": {"sample", "10.244.1.1", "", ""},
	"region1.zone2": {"sample", "10.244.1.2", "", ""},
	"region2.zone3": {"sample", "10.244.1.3", "", ""},
	"region3.zone4": {"sample", "10.244.1.4", "", ""},
	"outside":       {"outside", outsideAddress, "", ""},
	"nginx":         {"mesh-external", "10.244.8.2", "", ""},
	"laptop":        {"outside", "10.244.9.1", "", ""},
}

const outsideAddress = "10.244.8.1"

func newWorld(t *testing.T) *world {
	t.Helper()
	base, err := os.ReadFile("testdata/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, fabric: rig.New(t), mesh: rig.NewRoot(t), public: rig.NewRoot(t), base: string(base),
		pods: map[string]*rig.Pod{}, proxies: map[string]*rig.Proxy{}, apps: map[string]*app{},
	}
	for _, name := range slices.Sorted(maps.Keys(pods)) {
		p := pods[name]
		w.pods[name] = w.fabric.Pod(p.namespace, name, p.address)
		if p.account != "" {
			labels := map[string]string{}
			if p.router != "" {
				labels["istio"] = p.router
			}
			w.proxy(name, p.account, labels)
		}
	}
	for _, name := range []string{"v1", "v2", "v3", "region1.zone1", "region1.zone2", "region2.zone3", "region3.zone4"} {
		w.apps[name] = newApp(w, name)
	}
	w.serveOutside()
	return w
}

// proxy starts the Envoy of a pod: a gateway's when its pod has labels.
func (w *world) proxy(name, account string, labels map[string]string) {
	p := w.pods[name]
	// As the kubelet and the image have it: names are looked up outside, and
	// servers there are trusted by the system's authorities.
	p.Mount("/etc/resolv.conf", []byte("nameserver "+outsideAddress+"\n"))
	p.Mount("/etc/ssl/certs/ca-certificates.crt", w.public.PEM())
	identity := fmt.Sprintf("spiffe://cluster.local/ns/%s/sa/%s", p.Namespace, account)
	leaf := w.mesh.Leaf(identity)
	o := rig.Options{Type: "sidecar", Identity: identity, Leaf: &leaf, Labels: labels, Redirect: len(labels) == 0}
	if len(labels) > 0 {
		o.Type = "router"
	}
	w.proxies[name] = p.Envoy(o)
}

// gateway starts what the Gateway API's controller would deploy for a Gateway.
func (w *world) gateway(namespace, name string) {
	pod, key := name+"-istio", namespace+"/"+name
	if w.pods[key] != nil {
		return
	}
	w.pods[key] = w.fabric.Pod(namespace, pod, gatewayAddress(len(w.pods)))
	w.proxy(key, pod, map[string]string{"gateway.networking.k8s.io/gateway-name": name})
}

func gatewayAddress(n int) string { return fmt.Sprintf("10.244.3.%d", n) }

// deployed are the objects of such a gateway.
func (w *world) deployed(namespace, name, ports string) string {
	pod := name + "-istio"
	var service, slice []string
	for _, port := range strings.Split(ports, ",") {
		service = append(service, fmt.Sprintf("{name: p%s, port: %[1]s, targetPort: %[1]s}", port))
		slice = append(slice, fmt.Sprintf("{name: p%s, port: %[1]s, protocol: TCP}", port))
	}
	address := w.pods[namespace+"/"+name].Address
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: %[2]s, labels: {gateway.networking.k8s.io/gateway-name: %[3]s}}
spec: {serviceAccountName: %[1]s, containers: [{name: istio-proxy, args: [proxy, router]}]}
status: {phase: Running, podIPs: [{ip: %[4]s}]}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s}
spec: {clusterIP: 10.96.3.%[7]d, selector: {gateway.networking.k8s.io/gateway-name: %[3]s}, ports: [%[5]s]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [%[6]s]
endpoints: [{addresses: [%[4]s], conditions: {ready: true}, targetRef: {kind: Pod, name: %[1]s, namespace: %[2]s}}]
`, pod, namespace, name, address, strings.Join(service, ", "), strings.Join(slice, ", "), address.As4()[3])
}

// apply makes these objects, and those of the base, all that there is, and waits
// until every proxy has it. It returns the problems that the objects have.
func (w *world) apply(t *testing.T, objects ...string) []model.Problem {
	t.Helper()
	read, err := manifest.Read([]byte(w.base + "\n---\n" + strings.Join(objects, "\n---\n")))
	if err != nil {
		t.Fatal(err)
	}
	if len(read.Skipped) > 0 {
		t.Fatalf("nothing reads %v", read.Skipped)
	}
	read.Settings = model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local"}
	w.result = ingest.Build(read.Input, w.result)
	w.snapshot = snapshot.Build(w.result.Mesh, w.snapshot)
	var wg sync.WaitGroup
	for name, proxy := range w.proxies {
		wg.Go(func() {
			if err := proxy.Try(w.snapshot); err != nil {
				t.Errorf("proxy of %s: %v", name, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return slices.Concat(w.result.Mesh.Problems, w.snapshot.Problems())
}
