// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/controlplane/wasm"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
	"github.com/isthmesh/isthmesh/test/proxywasm"
)

const extended = `
apiVersion: v1
kind: Pod
metadata: {name: client-1, namespace: shop, labels: {app: client}}
spec: {serviceAccountName: client, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.244.0.10}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-1, namespace: shop, labels: {app: reviews}}
spec: {serviceAccountName: reviews, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.244.0.20}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.96.0.7, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 70, targetPort: 7070}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.20], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-1, namespace: shop}}]
ports: [{name: http, port: 8080, protocol: TCP}, {name: tcp, port: 7070, protocol: TCP}]
---
# A connection that is kept would go on through the listener as it was.
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec: {host: reviews, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}}
`

// extending is a mesh of a client and a server whose plugins change.
type extending struct {
	t        *testing.T
	fetcher  *wasm.Fetcher
	changed  chan struct{}
	result   *ingest.Result
	shown    *snapshot.Snapshot
	aside    *snapshot.Aside
	client   *rig.Pod
	proxies  map[string]*rig.Proxy
	registry *proxywasm.Registry
	// at is the registry's address; files are served below web.
	at, web string
	files   map[string][]byte
}

func newExtending(t *testing.T) *extending {
	e := &extending{t: t, changed: make(chan struct{}, 100), registry: &proxywasm.Registry{}, files: map[string][]byte{}, proxies: map[string]*rig.Proxy{}}
	server := httptest.NewServer(e.registry)
	t.Cleanup(server.Close)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(e.files[r.URL.Path]) }))
	t.Cleanup(web.Close)
	e.at, e.web = server.Listener.Addr().String(), web.URL
	e.fetcher = wasm.New(wasm.Options{Permit: func(netip.Addr) error { return nil }, Plain: []string{e.at}, Retry: time.Hour}, func() { e.changed <- struct{}{} })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- e.fetcher.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })

	root, fabric := rig.NewRoot(t), rig.New(t)
	pods := map[string]*rig.Pod{"client": fabric.Pod("shop", "client-1", "10.244.0.10"), "reviews": fabric.Pod("shop", "reviews-1", "10.244.0.20")}
	for account, pod := range pods {
		id := "spiffe://cluster.local/ns/shop/sa/" + account
		leaf := root.Leaf(id)
		e.proxies[account] = pod.Envoy(rig.Options{Type: "sidecar", Identity: id, Leaf: &leaf, Redirect: true})
	}
	e.client = pods["client"]
	echo(pods["reviews"], 8080)
	greet(pods["reviews"], 7070)
	return e
}

// try objects beside the pods, and return why proxies refuse what they make. The
// modules that they want are fetched first.
func (e *extending) try(objects string) error {
	e.t.Helper()
	read, err := manifest.Read([]byte(extended + strings.NewReplacer("REGISTRY", e.at, "WEB", e.web).Replace(objects)))
	if err != nil {
		e.t.Fatal(err)
	}
	in := read.Input
	in.Settings = model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local"}
	fetched := e.fetcher.Result()
	in.Modules, in.ModuleFailures = fetched.Modules, fetched.Failures
	e.result = ingest.Build(in, e.result)
	e.fetcher.Want(e.result.WantedModules())
	late := time.After(eventually)
	for !e.fetcher.Settled(e.result.WantedModules()) {
		select {
		case <-e.changed:
		case <-late:
			e.t.Fatal("the modules don't come")
		}
	}
	fetched = e.fetcher.Result()
	in.Modules, in.ModuleFailures = fetched.Modules, fetched.Failures
	e.result = ingest.Build(in, e.result)
	e.aside = e.aside.Next(e.result.Mesh)
	return e.show()
}

// show the mesh to the proxies.
func (e *extending) show() error {
	e.t.Helper()
	e.shown = snapshot.BuildWithout(e.result.Mesh, e.aside, e.shown)
	for _, account := range []string{"client", "reviews"} {
		if err := e.proxies[account].Try(e.shown); err != nil {
			return err
		}
	}
	return nil
}

func (e *extending) push(objects string) {
	e.t.Helper()
	if err := e.try(objects); err != nil {
		e.t.Fatal(err)
	}
}

// call the server; added is the plugin's header in the answer, and seen what the
// server saw of it.
func (e *extending) call(headers int) (status int, added, seen string) {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, "http://10.96.0.7/", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	r.Host = "reviews.shop.svc.cluster.local"
	for i := range headers {
		r.Header.Set(fmt.Sprintf("x-%d", i), "y")
	}
	answer, err := client(e.client).Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, _ := io.ReadAll(answer.Body)
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, "header X-Plugin="); ok {
			seen = strings.TrimSpace(value)
		}
	}
	return answer.StatusCode, answer.Header.Get("X-Plugin"), seen
}

// expect an answer with this status, and what the plugin added on both ways.
func (e *extending) expect(status int, value string) {
	e.t.Helper()
	if s, added, seen := e.call(0); s != status || added != value || seen != value {
		e.t.Errorf("status %d, header %q in the answer and %q in the request; want %d and %q", s, added, seen, status, value)
	}
}

// becomes an answer with this status and header, some time after a machine ended.
func (e *extending) becomes(status int, value string) {
	e.t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(eventually)
	for {
		s, added, _ := e.call(0)
		if s == status && added == value {
			return
		}
		select {
		case <-late:
			e.t.Fatalf("still %d and %q, want %d and %q", s, added, status, value)
		case <-ticker.C:
		}
	}
}

// problem that is told of the plugin, and of nothing else.
func (e *extending) problem(says string) {
	e.t.Helper()
	if p := e.result.Mesh.Problems; len(p) != 1 || p[0].Kind != "WasmPlugin" || p[0].Name != "p" || !strings.Contains(p[0].Message, says) {
		e.t.Errorf("%+v, want one that says %q", p, says)
	}
}

// plugin of this spec, on the server unless it says otherwise.
func plugin(spec string) string {
	return "\n---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: p, namespace: shop}\nspec: {" + spec + "}\n"
}

// denies every request to the server.
const denies = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: denies, namespace: shop}
spec: {selector: {matchLabels: {app: reviews}}, action: DENY, rules: [{}]}
`

const onReviews = "selector: {matchLabels: {app: reviews}}, "

// TestExtensions runs plugins in real sidecars, from a registry and a web server.
func TestExtensions(t *testing.T) {
	e := newExtending(t)
	adds := proxywasm.Module{Header: "x-plugin", Value: "v1", Counter: "seen_by_plugin", TrapAbove: 30}.Bytes()
	sum := sha256.Sum256(adds)
	e.registry.Push("team/adds", "v1", proxywasm.OCI, adds)
	e.files["/adds.wasm"] = adds
	checked := "url: 'WEB/adds.wasm', sha256: " + hex.EncodeToString(sum[:])
	wrong := "url: 'WEB/adds.wasm', sha256: " + strings.Repeat("a", 64)
	reviews := e.proxies["reviews"]

	e.push("")
	e.expect(200, "")
	t.Run("FromRegistry", func(t *testing.T) {
		e.t = t
		e.push(plugin(onReviews + "url: 'oci://REGISTRY/team/adds:v1'"))
		e.expect(200, "v1")
		if n := reviews.Stat("wasmcustom.seen_by_plugin"); n != 1 {
			t.Errorf("the plugin's metric is %d", n)
		}
	})
	t.Run("Configured", func(t *testing.T) {
		e.t = t
		before := reviews.Stat("listener_manager.lds.update_success")
		e.push(plugin(onReviews + "url: 'oci://REGISTRY/team/adds:v1', pluginConfig: {b: [1, true], a: x}"))
		e.expect(200, `{"a":"x","b":[1,true]}`)
		if n := reviews.Stat("listener_manager.lds.update_success"); n != before {
			t.Errorf("another configuration made other listeners (%d updates, before %d)", n, before)
		}
	})
	t.Run("Environment", func(t *testing.T) {
		e.t = t
		e.push(plugin(onReviews + "url: 'oci://REGISTRY/team/adds:v1', pluginName: main, vmConfig: {env: [{name: A, value: b}, {name: POD_NAME, valueFrom: HOST}]}"))
		e.expect(200, "v1")
	})
	t.Run("FromWebChecked", func(t *testing.T) {
		e.t = t
		e.push(plugin(onReviews + checked))
		e.expect(200, "v1")
	})
	t.Run("WrongChecksumClosed", func(t *testing.T) {
		e.t = t
		e.push(plugin(onReviews + wrong))
		e.problem("not the one in spec.sha256")
		e.expect(503, "")
	})
	t.Run("WrongChecksumOpen", func(t *testing.T) {
		e.t = t
		e.push(plugin(onReviews + wrong + ", failStrategy: FAIL_OPEN"))
		e.problem("passes without the plugin")
		e.expect(200, "")
	})
	t.Run("Mended", func(t *testing.T) {
		e.t = t
		e.push(plugin(onReviews + checked))
		e.expect(200, "v1")
	})
	for name, after := range map[string]struct {
		status int
		value  string
	}{"FAIL_CLOSE": {503, ""}, "FAIL_OPEN": {200, ""}, "FAIL_RELOAD": {200, "v1"}} {
		t.Run("Trap"+name, func(t *testing.T) {
			e.t = t
			// A configuration of its own gives each a machine of its own.
			e.push(plugin(onReviews + checked + ", failStrategy: " + name + ", vmConfig: {env: [{name: RUN, value: " + name + "}]}"))
			e.expect(200, "v1")
			if status, added, _ := e.call(40); added != "" || status == 200 && name != "FAIL_OPEN" {
				t.Errorf("the request that ends the machine: %d, %q", status, added)
			}
			e.becomes(after.status, after.value)
		})
	}
	t.Run("Client", func(t *testing.T) {
		e.t = t
		e.push(plugin(checked + ", match: [{mode: CLIENT, ports: [{number: 80}]}]"))
		e.expect(200, "v1")
		e.push(plugin(checked + ", match: [{mode: CLIENT, ports: [{number: 8080}]}, {mode: SERVER, ports: [{number: 80}]}]"))
		e.expect(200, "")
		e.push(plugin(checked + ", match: [{mode: SERVER, ports: [{number: 8080}]}]"))
		e.expect(200, "v1")
	})
	t.Run("Phases", func(t *testing.T) {
		e.t = t
		const asked = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: asks, namespace: shop}
spec: {selector: {matchLabels: {app: reviews}}, rules: [{when: [{key: "request.headers[x-plugin]", values: [v1]}]}]}
`
		for phase, status := range map[string]int{"AUTHN": 200, "AUTHZ": 200, "STATS": 403, "UNSPECIFIED_PHASE": 403} {
			e.push(asked + plugin(onReviews+checked+", phase: "+phase))
			if s, _, _ := e.call(0); s != status {
				t.Errorf("phase %s: %d, want %d", phase, s, status)
			}
		}
	})
	t.Run("Network", func(t *testing.T) {
		e.t = t
		before := reviews.Stat("wasmcustom.seen_by_plugin")
		e.push(plugin(onReviews + checked + ", type: NETWORK, match: [{ports: [{number: 7070}]}]"))
		converse(t, e.client, "10.96.0.7:70", "reviews-1")
		if n := reviews.Stat("wasmcustom.seen_by_plugin"); n != before+1 {
			t.Errorf("%d connections were seen", n-before)
		}
		e.expect(200, "")
		e.push(plugin(onReviews + wrong + ", type: NETWORK"))
		if conn, err := e.client.Dial("10.96.0.7:70"); err == nil {
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if b, _ := io.ReadAll(conn); len(b) > 0 {
				t.Errorf("a connection passed: %q", b)
			}
			_ = conn.Close()
		}
		e.push(plugin(onReviews + wrong + ", type: NETWORK, failStrategy: FAIL_OPEN"))
		converse(t, e.client, "10.96.0.7:70", "reviews-1")
	})
	t.Run("NoSuchPluginInProxy", func(t *testing.T) {
		e.t = t
		e.files["/broken.wasm"] = append([]byte("\x00asm\x01\x00\x00\x00"), "no section"...)
		err := e.try(plugin(onReviews + "url: 'WEB/broken.wasm'"))
		if err == nil {
			t.Fatal("Envoy takes a broken module")
		}
		if blamed := e.shown.Blame(reviews.Rejections()); len(blamed) == 0 || blamed[len(blamed)-1].Kind != "WasmPlugin" {
			t.Errorf("blamed are %+v", blamed)
		}
		spare := func() {
			t.Helper()
			// Envoy refuses the module and then the listeners that have it.
			until(t, "Envoy has answered everything", func() bool {
				done, _ := reviews.Settled("shop", "reviews-1")
				return done
			})
			e.aside = e.shown.Refused(reviews.Rejections(), func(string, string) (bool, bool) { return true, true })
			reviews.Forgive()
			if err := e.show(); err != nil {
				t.Fatal(err)
			}
			if told := e.shown.Blame(reviews.Rejections()); len(told) != 1 || told[0].Kind != "WasmPlugin" || told[0].Name != "p" || told[0].Reason != model.RejectedByProxy {
				t.Errorf("told is %+v", told)
			}
		}
		spare()
		e.expect(503, "")
		// What it can't run holds up nothing else.
		e.push(denies + plugin(onReviews+"url: 'WEB/broken.wasm'"))
		e.expect(403, "")
		if err := e.try(denies + plugin(onReviews+"url: 'WEB/broken.wasm', failStrategy: FAIL_OPEN")); err == nil {
			t.Error("Envoy takes a broken module")
		}
		spare()
		e.expect(403, "")
		e.push(plugin(onReviews + checked))
		e.expect(200, "v1")
	})
}
