// SPDX-License-Identifier: Apache-2.0

package workloadentry_test

import (
	"cmp"
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	istio "istio.io/client-go/pkg/clientset/versioned"
	client "istio.io/client-go/pkg/clientset/versioned/typed/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/controllers/workloadentry"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	apiserver.Main(m, &server)
}

// Times of tests. A replica that doesn't tell for three pulses is gone, and one that
// is there must not be taken for gone because the machine is busy.
const (
	pulse = 2 * time.Second
	grace = 5 * time.Second
)

// town is a cluster with a group in namespace shop, and what control planes with
// the rights of the chart do there.
type town struct {
	t     *testing.T
	admin client.NetworkingV1Interface
	kube  kubernetes.Interface
	own   *rest.Config

	objects atomic.Pointer[workloadentry.Objects]
	mu      sync.Mutex
	told    []chan struct{}
}

func newTown(t *testing.T) *town {
	t.Helper()
	if _, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{
		Paths: crds(t, "workloadentries", "workloadgroups"), MaxTime: apiserver.Patience,
	}); err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, own: rest.CopyConfig(server.Config)}
	w.own.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:istio-system:istiod"}
	all, err := istio.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.admin = all.NetworkingV1()
	if w.kube, err = kubernetes.NewForConfig(server.Config); err != nil {
		t.Fatal(err)
	}
	for _, ns := range []string{"istio-system", "shop"} {
		if _, err := w.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.bindRoles()
	if _, err := w.admin.WorkloadGroups("shop").Create(t.Context(), &networking.WorkloadGroup{
		ObjectMeta: metav1.ObjectMeta{Name: "vms"},
		Spec:       networkingapi.WorkloadGroup{Template: &networkingapi.WorkloadEntry{ServiceAccount: "db"}, Probe: &networkingapi.ReadinessProbe{}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.objects.Store(&workloadentry.Objects{})
	w.run(w.follow)
	return w
}

func crds(t *testing.T, resources ...string) []string {
	t.Helper()
	var out []string
	for _, r := range resources {
		found, err := filepath.Glob("../../charts/base/crds/istio_" + r + "*.yaml")
		if err != nil || len(found) != 1 {
			t.Fatalf("no definition of %s, run `make generate`: %v", r, err)
		}
		out = append(out, found...)
	}
	return out
}

// bindRoles creates what the istiod chart lets the control plane do.
func (w *town) bindRoles() {
	w.t.Helper()
	objects, err := install.Render(install.Istiod, nil, "istiod", "istio-system", "v1.36.3")
	if err != nil {
		w.t.Fatal(err)
	}
	api, err := dynamic.NewForConfig(server.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range objects {
		if gvk := o.GroupVersionKind(); gvk.Group == "rbac.authorization.k8s.io" {
			resource := gvk.GroupVersion().WithResource(map[string]string{
				"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings", "Role": "roles", "RoleBinding": "rolebindings",
			}[gvk.Kind])
			if _, err := api.Resource(resource).Namespace(o.GetNamespace()).Create(w.t.Context(), o, metav1.CreateOptions{}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// run until the test ends, or it is stopped.
func (w *town) run(do func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), testr.New(w.t)))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = do(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	w.t.Cleanup(stop)
	return stop
}

// follow what there is, a little late, as informers do.
func (w *town) follow(ctx context.Context) error {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	version := ""
	for {
		entries, err := w.admin.WorkloadEntries("").List(ctx, metav1.ListOptions{})
		groups, failed := w.admin.WorkloadGroups("").List(ctx, metav1.ListOptions{})
		if err == nil && failed == nil && entries.ResourceVersion+groups.ResourceVersion != version {
			version = entries.ResourceVersion + groups.ResourceVersion
			slices.SortFunc(entries.Items, func(a, b *networking.WorkloadEntry) int {
				return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
			})
			w.objects.Store(&workloadentry.Objects{Entries: entries.Items, Groups: groups.Items, Known: true})
			w.mu.Lock()
			for _, c := range w.told {
				select {
				case c <- struct{}{}:
				default:
				}
			}
			w.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (w *town) news() chan struct{} {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, c)
	return c
}

func (w *town) clients() (client.NetworkingV1Interface, kubernetes.Interface) {
	w.t.Helper()
	all, err := istio.NewForConfig(w.own)
	if err != nil {
		w.t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(w.own)
	if err != nil {
		w.t.Fatal(err)
	}
	return all.NetworkingV1(), kube
}

// replica of the control plane; crash ends it without a word.
func (w *town) replica(pod, run string) (r *workloadentry.Registrar, crash func()) {
	w.t.Helper()
	api, kube := w.clients()
	r = &workloadentry.Registrar{
		Client: api, Objects: func() workloadentry.Objects { return *w.objects.Load() }, Changed: w.news(),
		Replica: workloadentry.ReplicaName("istio-system", pod, run), Metrics: workloadentry.NewMetrics(nil),
	}
	p := &workloadentry.Pulse{Client: kube, Namespace: "istio-system", Pod: pod, Replica: r.Replica, Serves: r.Serves, Every: pulse}
	stops := []func(){w.run(r.Run), w.run(p.Run)}
	return r, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// leader removes what is gone.
func (w *town) leader() {
	w.t.Helper()
	api, kube := w.clients()
	s := &workloadentry.Sweeper{
		Client: api, Kubernetes: kube, Objects: func() workloadentry.Objects { return *w.objects.Load() }, Changed: w.news(),
		Namespace: "istio-system", Replica: workloadentry.ReplicaName("istio-system", "leader", "1"), Grace: grace, Every: pulse,
		Metrics: workloadentry.NewMetrics(nil),
	}
	w.run(s.Run)
}

// machine of the group, connected to a replica.
func (w *town) machine(r *workloadentry.Registrar, address string, health *model.MachineHealth) *model.Machine {
	w.t.Helper()
	m := &model.Machine{Namespace: "shop", ServiceAccount: "db", Group: "vms", Address: netip.MustParseAddr(address)}
	w.eventually(func() string {
		if _, err := r.Admit(m); err != nil {
			return err.Error()
		}
		return ""
	})
	r.Says(m, &model.MachineStream{Configured: time.Now(), Health: health})
	return m
}

// entry of the machine at an address; nil when there is none.
func (w *town) entry(address string) *networking.WorkloadEntry {
	w.t.Helper()
	e, err := w.admin.WorkloadEntries("shop").Get(w.t.Context(), "vms-"+address, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// connected waits until the machine at an address is registered with a replica.
func (w *town) connected(address string, r *workloadentry.Registrar) *networking.WorkloadEntry {
	w.t.Helper()
	var e *networking.WorkloadEntry
	w.eventually(func() string {
		if e = w.entry(address); e == nil {
			return "there is no entry of " + address
		}
		a := e.Annotations
		if a[registration.ControllerAnnotation] != r.Replica || a[registration.ConnectedAnnotation] == "" || a[registration.DisconnectedAnnotation] != "" {
			return address + " isn't connected to " + r.Replica
		}
		return ""
	})
	return e
}

func (w *town) eventually(f func() string) {
	w.t.Helper()
	deadline, tick := time.After(2*time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		why := f()
		if why == "" {
			return
		}
		select {
		case <-deadline:
			w.t.Fatal(why)
		case <-tick.C:
		}
	}
}
