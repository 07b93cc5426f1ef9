// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	apiserver.Main(withControlPlane{m}, &server)
}

// withControlPlane ends the control plane, if a test started it, before its API
// server.
type withControlPlane struct{ m *testing.M }

func (w withControlPlane) Run() int {
	code := w.m.Run()
	stop()
	if cp := running; cp != nil {
		<-cp.ended
	}
	return code
}

var (
	runs, stop = context.WithCancel(context.Background())
	running    *controlPlane
)

// grace is how long a machine may be away.
const grace = 5 * time.Second

// controlPlane is one that runs in this process, as in its pod, on a real API
// server without the webhook: every object comes as it was applied.
type controlPlane struct {
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper

	xds, ready, monitoring, webhooks string
	ended                            chan struct{}
	err                              error
	stop                             func() // for another one; the first ends with the tests

	mu  sync.Mutex
	log []string
}

var startOnce = sync.OnceValues(startControlPlane)

// theControlPlane is shared by all tests; each has namespaces of its own.
func theControlPlane(t *testing.T) *controlPlane {
	t.Helper()
	cp, err := startOnce()
	if err != nil {
		t.Fatal(err)
	}
	eventuallyUntil(t, time.Now().Add(patience), func() string {
		why := cp.get("http://" + cp.ready + "/ready")
		if why != "" {
			why += cp.logged()
		}
		return why
	})
	return cp
}

func startControlPlane() (*controlPlane, error) {
	paths, err := filepath.Glob("../../charts/base/crds/*.yaml")
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no definitions of Istio's API, run `make generate`: %w", err)
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		for _, part := range strings.Split(string(text), "\n---") {
			crd := &apiextensionsv1.CustomResourceDefinition{}
			if err := yaml.Unmarshal([]byte(part), crd); err != nil {
				return nil, fmt.Errorf("%s: %w", p, err)
			}
			if crd.Name != "" && crd.Kind == "CustomResourceDefinition" {
				crds = append(crds, crd)
			}
		}
	}
	if _, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{CRDs: crds, MaxTime: 3 * time.Minute}); err != nil {
		return nil, err
	}
	cp := &controlPlane{ended: make(chan struct{})}
	if cp.kube, err = kubernetes.NewForConfig(server.Config); err != nil {
		return nil, err
	}
	if cp.dynamic, err = dynamic.NewForConfig(server.Config); err != nil {
		return nil, err
	}
	cp.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(cp.kube.Discovery()))
	if _, err := cp.kube.CoreV1().Namespaces().Create(runs, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system"}}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if err := cp.launch(runs, "istiod-0"); err != nil {
		return nil, err
	}
	running = cp
	return cp, nil
}

// another replica, or one that has just started, with nothing in its memory. It
// ends with the test, or before.
func (cp *controlPlane) another(t *testing.T, pod string) *controlPlane {
	t.Helper()
	out := &controlPlane{kube: cp.kube, dynamic: cp.dynamic, mapper: cp.mapper, ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(runs)
	if err := out.launch(ctx, pod); err != nil {
		cancel()
		t.Fatal(err)
	}
	out.stop = sync.OnceFunc(func() {
		cancel()
		<-out.ended
	})
	t.Cleanup(out.stop)
	eventuallyUntil(t, time.Now().Add(patience), func() string { return out.get("http://" + out.ready + "/ready") })
	return out
}

// launch it as the pod of this name, until ctx ends.
func (cp *controlPlane) launch(ctx context.Context, pod string) error {
	kubeconfig, err := server.Kubeconfig("istiod", "system:masters")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "kubeconfig-")
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(kubeconfig); err != nil {
		return err
	}
	addresses, err := freeAddresses(4)
	if err != nil {
		return err
	}
	cp.xds, cp.ready, cp.monitoring, cp.webhooks = addresses[0], addresses[1], addresses[2], addresses[3]
	o, err := parse([]string{
		"--kubeconfig=" + file.Name(), "--xds-address=" + cp.xds, "--ready-address=" + cp.ready,
		"--monitoring-address=" + cp.monitoring, "--webhook-address=" + cp.webhooks,
	}, func(name string) string {
		return map[string]string{"POD_NAME": pod, graceVariable: grace.String()}[name]
	})
	if err != nil {
		return err
	}
	logger := funcr.New(func(_, args string) {
		cp.mu.Lock()
		defer cp.mu.Unlock()
		cp.log = append(cp.log, args)
	}, funcr.Options{})
	go func() {
		defer close(cp.ended)
		defer func() { _ = os.Remove(file.Name()) }()
		cp.err = run(logr.NewContext(ctx, logger), o)
	}()
	return nil
}

// ours is an address of the loopback that no other test listens at: a port of it that
// is free now is free when the control plane listens, however long that takes.
const ours = "127.0.0.77"

// freeAddresses that nobody had a moment ago.
func freeAddresses(n int) ([]string, error) {
	out := make([]string, n)
	for i := range out {
		l, err := (&net.ListenConfig{}).Listen(runs, "tcp", ours+":0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until all are found
		out[i] = l.Addr().String()
	}
	return out, nil
}

// alive fails the test when the control plane has ended.
func (cp *controlPlane) alive(t *testing.T) {
	t.Helper()
	select {
	case <-cp.ended:
		t.Fatalf("the control plane has ended: %v\n%s", cp.err, cp.logged())
	default:
	}
}

func (cp *controlPlane) logged() string {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	return strings.Join(cp.log[max(0, len(cp.log)-40):], "\n")
}

// get a page; "" when it is there.
func (cp *controlPlane) get(url string) string {
	select {
	case <-cp.ended:
		return fmt.Sprintf("the control plane has ended: %v", cp.err)
	default:
	}
	r, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusOK {
		return string(body)
	}
	return ""
}

// apply objects of YAML; those that are there change.
func (cp *controlPlane) apply(t *testing.T, text string) {
	t.Helper()
	for _, part := range strings.Split(text, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &u.Object); err != nil {
			t.Fatalf("%v: %s", err, part)
		}
		if len(u.Object) == 0 {
			continue
		}
		if err := cp.try(t, u); err != nil {
			t.Fatalf("apply %s %s/%s: %v", u.GetKind(), u.GetNamespace(), u.GetName(), err)
		}
	}
}

// try to apply an object.
func (cp *controlPlane) try(t *testing.T, u *unstructured.Unstructured) error {
	t.Helper()
	body, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	_, err = cp.of(t, u.GroupVersionKind()).Namespace(u.GetNamespace()).
		Patch(t.Context(), u.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: "test"})
	return err
}

func (cp *controlPlane) of(t *testing.T, gvk schema.GroupVersionKind) dynamic.NamespaceableResourceInterface {
	t.Helper()
	m, err := cp.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		cp.mapper.Reset()
		m, err = cp.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cp.dynamic.Resource(m.Resource)
}

// object of Istio's API, by kind and "namespace/name".
func (cp *controlPlane) object(t *testing.T, kind, name string) (dynamic.ResourceInterface, string) {
	t.Helper()
	version := map[string]string{"EnvoyFilter": "v1alpha3", "ProxyConfig": "v1beta1"}[kind]
	if version == "" {
		version = "v1"
	}
	namespace, name, _ := strings.Cut(name, "/")
	return cp.of(t, schema.GroupVersionKind{Group: groupOf(kind), Version: version, Kind: kind}).Namespace(namespace), name
}

// groupOf a kind of Istio's API.
func groupOf(kind string) string {
	if kind == "PeerAuthentication" || kind == "AuthorizationPolicy" {
		return "security.istio.io"
	}
	return "networking.istio.io"
}

func (cp *controlPlane) remove(t *testing.T, kind, name string) {
	t.Helper()
	api, name := cp.object(t, kind, name)
	if err := api.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

// condition Reconciled of an object, as "False Reason: message"; "" for none.
func (cp *controlPlane) condition(t *testing.T, kind, name string) string {
	t.Helper()
	api, name := cp.object(t, kind, name)
	u, err := api.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Reconciled" {
			return fmt.Sprintf("%s %s: %s", m["status"], m["reason"], m["message"])
		}
	}
	return ""
}

// says waits for a condition that begins so and has all parts.
func (cp *controlPlane) says(t *testing.T, kind, name, begin string, parts ...string) {
	t.Helper()
	eventuallyUntil(t, time.Now().Add(patience), func() string {
		got := cp.condition(t, kind, name)
		if !strings.HasPrefix(got, begin) {
			return fmt.Sprintf("%s %s: condition is %q, want one that begins with %q", kind, name, got, begin)
		}
		for _, p := range parts {
			if !strings.Contains(got, p) {
				return fmt.Sprintf("%s %s: condition is %q, want %q in it", kind, name, got, p)
			}
		}
		return ""
	})
}

// eventuallyUntil is eventually with a deadline.
func eventuallyUntil(t *testing.T, deadline time.Time, f func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		last := f()
		if last == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(last)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(errors.Join(t.Context().Err(), errors.New(last)))
		case <-tick.C:
		}
	}
}

// createOptions of tests.
var createOptions = metav1.CreateOptions{FieldManager: "test"}
