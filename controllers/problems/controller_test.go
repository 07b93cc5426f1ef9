// SPDX-License-Identifier: Apache-2.0

package problems_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controllers/problems"
	"github.com/isthmesh/isthmesh/controlplane/informers"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	apiserver.Main(m, &server)
}

// patience of tests: longer than what failed once is left alone.
const patience = 90 * time.Second

const (
	virtualServices = "virtualservices"
	sidecars        = "sidecars"
)

// world is an API server with Istio's kinds, and a mesh that is made of it.
type world struct {
	*testing.T
	client dynamic.Interface
	// limited may do what the chart lets the control plane do.
	limited *rest.Config
	// resync of replicas that are started from now on.
	resync time.Duration

	mu     sync.Mutex
	extra  []model.Problem // of proxies
	writes []string        // successful ones
	tries  []string
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, client: dynamic.NewForConfigOrDie(server.Config), resync: time.Second}
	w.install()
	w.grant()
	return w
}

// install Istio's kinds; Sidecar as an old definition without a status.
func (w *world) install() {
	w.Helper()
	paths, err := filepath.Glob("../../charts/base/crds/istio_*.yaml")
	if err != nil || len(paths) == 0 {
		w.Fatalf("no definitions of Istio's API, run `make generate`: %v", err)
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, p := range paths {
		crds = append(crds, apiserver.ReadFile[apiextensionsv1.CustomResourceDefinition](w.T, strings.TrimPrefix(p, "../../"))...)
	}
	for _, c := range crds {
		if c.Spec.Names.Plural == sidecars {
			for i := range c.Spec.Versions {
				c.Spec.Versions[i].Subresources = nil
			}
		}
	}
	if _, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{CRDs: crds, MaxTime: apiserver.Patience}); err != nil {
		w.Fatal(err)
	}
}

// chart reads the first object of one of the chart's templates, without what only
// Helm understands.
func (w *world) chart(file string, into any) {
	w.Helper()
	text, err := os.ReadFile("../../charts/istiod/templates/" + file)
	if err != nil {
		w.Fatal(err)
	}
	var plain strings.Builder
	for line := range strings.Lines(strings.Split(string(text), "\n---")[0]) {
		if !strings.Contains(line, "{{") {
			plain.WriteString(line)
		}
	}
	if err := yaml.Unmarshal([]byte(plain.String()), into); err != nil {
		w.Fatal(err)
	}
}

// grant a user the rules of the chart's ClusterRole.
func (w *world) grant() {
	w.Helper()
	var role rbacv1.ClusterRole
	w.chart("clusterrole.yaml", &role)
	role.Name, role.Labels = "istiod", nil
	kube, ctx := kubernetes.NewForConfigOrDie(server.Config), w.Context()
	if _, err := kube.RbacV1().ClusterRoles().Create(ctx, &role, metav1.CreateOptions{}); err != nil && !strings.Contains(err.Error(), "already exists") {
		w.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "istiod"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "istiod"},
		Subjects:   []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "istiod"}},
	}
	if _, err := kube.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil && !strings.Contains(err.Error(), "already exists") {
		w.Fatal(err)
	}
	kubeconfig, err := server.Kubeconfig("istiod")
	if err != nil {
		w.Fatal(err)
	}
	if w.limited, err = clientcmd.RESTConfigFromKubeConfig(kubeconfig); err != nil {
		w.Fatal(err)
	}
	w.limited.QPS, w.limited.Burst = 200, 400
	// What is forbidden is tried again much later, so that the authorizer must have
	// seen the role before anything is tried.
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "istiod", ResourceAttributes: &authorizationv1.ResourceAttributes{
		Verb: "patch", Group: "networking.istio.io", Resource: virtualServices, Subresource: "status", Namespace: "any",
	}}}
	w.eventually("the rights of the chart", func() bool {
		answer, err := kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed
	})
	w.limited.Wrap(func(next http.RoundTripper) http.RoundTripper { return recorder{w, next} })
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("never: %s", what)
		}
	}
}

// role of the chart in the control plane's namespace.
func (w *world) role(kube kubernetes.Interface, namespace string) {
	w.Helper()
	var role rbacv1.Role
	w.chart("role.yaml", &role)
	role.Name, role.Namespace, role.Labels = "istiod", namespace, nil
	if _, err := kube.CoreV1().Namespaces().Create(w.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		w.Fatal(err)
	}
	if _, err := kube.RbacV1().Roles(namespace).Create(w.Context(), &role, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	if _, err := kube.RbacV1().RoleBindings(namespace).Create(w.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "istiod"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "istiod"},
		Subjects:   []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "istiod"}},
	}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
}

// recorder notes what is written.
type recorder struct {
	w    *world
	next http.RoundTripper
}

func (r recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	answer, err := r.next.RoundTrip(q)
	if q.Method != http.MethodGet && err == nil {
		parts := strings.Split(q.URL.Path, "/")
		r.w.mu.Lock()
		defer r.w.mu.Unlock()
		what := q.Method + " " + strings.Join(parts[max(0, len(parts)-3):], "/")
		r.w.tries = append(r.w.tries, what)
		if answer.StatusCode < 300 {
			r.w.writes = append(r.w.writes, what)
		}
	}
	return answer, err
}

// replica runs a mesh and its controller until it is stopped, or the test ends.
func (w *world) replica() (stop func()) {
	w.Helper()
	clients, err := informers.NewClients(server.Config)
	if err != nil {
		w.Fatal(err)
	}
	set, err := informers.New(clients, "istio-system", "")
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	resync := w.resync
	var all sync.WaitGroup
	all.Go(func() { set.Run(ctx) })
	facts := func() problems.Facts { return w.facts(set.Objects()) }
	all.Go(func() {
		if set.WaitSynced(ctx) != nil {
			return
		}
		_ = (&problems.Controller{
			Client: dynamic.NewForConfigOrDie(w.limited), Facts: facts, Changed: set.Changes(),
			PerSecond: 100, Calm: 300 * time.Millisecond, Pause: 20 * time.Millisecond, Poll: 50 * time.Millisecond, Resync: resync,
		}).Run(ctx)
	})
	stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	w.Cleanup(stop)
	return stop
}

func (w *world) facts(in ingest.Input) problems.Facts {
	in.Settings = model.Settings{TrustDomain: "cluster.local", DomainSuffix: "cluster.local", RootNamespace: "istio-system", Cluster: "one"}
	mesh := ingest.Build(in, nil).Mesh
	found := append(snapshot.Build(mesh, nil).Problems(), mesh.Problems...)
	w.mu.Lock()
	defer w.mu.Unlock()
	return problems.Facts{Conditions: problems.Conditions(append(found, w.extra...), problems.InGatewayAPI(in)), Find: problems.In(in)}
}

func (w *world) api(resource, namespace string) dynamic.ResourceInterface {
	return w.client.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: resource}).Namespace(namespace)
}

// put an object of this spec there.
func (w *world) put(resource, namespace, name, spec string) *unstructured.Unstructured {
	w.Helper()
	kind := map[string]string{virtualServices: "VirtualService", sidecars: "Sidecar"}[resource]
	body := fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":%q,"metadata":{"name":%q,"namespace":%q},"spec":%s}`, kind, name, namespace, spec)
	u, err := w.api(resource, namespace).Patch(w.Context(), name, types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: "test"})
	if err != nil {
		w.Fatal(err)
	}
	return u
}

func (w *world) namespace(name string) {
	w.Helper()
	kube := kubernetes.NewForConfigOrDie(server.Config)
	if _, err := kube.CoreV1().Namespaces().Create(w.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	for _, s := range []string{"reviews", "ratings", "details"} {
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: s}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}
		if _, err := kube.CoreV1().Services(name).Create(w.Context(), svc, metav1.CreateOptions{}); err != nil {
			w.Fatal(err)
		}
	}
}

func routes(host string, more ...string) string {
	return fmt.Sprintf(`{"hosts":[%q],"http":[{%s"route":[{"destination":{"host":%q}}]}]}`, host, strings.Join(more, ""), host)
}

// until an object's condition reads so: "False Conflict @1" for its generation.
func (w *world) until(resource, namespace, name, want string) *unstructured.Unstructured {
	w.Helper()
	deadline := time.Now().Add(patience)
	for {
		u, err := w.api(resource, namespace).Get(w.Context(), name, metav1.GetOptions{})
		if err != nil {
			w.Fatal(err)
		}
		got := read(u)
		if got == want {
			return u
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s %s/%s has %q, want %q; written was %v of %v", resource, namespace, name, got, want, w.writes, w.tries)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// read the condition; "" when there is no status.
func read(u *unstructured.Unstructured) string {
	if u.Object["status"] == nil {
		return ""
	}
	data, _ := json.Marshal(u.Object["status"])
	var status struct {
		ObservedGeneration int64
		Conditions         []metav1.Condition
	}
	if err := json.Unmarshal(data, &status); err != nil {
		return err.Error()
	}
	var out []string
	for _, c := range status.Conditions {
		text := fmt.Sprintf("%s %s @%d", c.Status, c.Reason, c.ObservedGeneration)
		if c.Type != problems.Reconciled {
			text = c.Type
		} else if c.LastTransitionTime.IsZero() || c.ObservedGeneration != status.ObservedGeneration {
			text += fmt.Sprintf(" at %v, status of %d", c.LastTransitionTime, status.ObservedGeneration)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func message(u *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == problems.Reconciled {
			text, _ := m["message"].(string)
			return text
		}
	}
	return ""
}

// count of successful writes to an object.
func (w *world) count(name string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.writes {
		if strings.Contains(x, "/"+name+"/") {
			n++
		}
	}
	return n
}

// wrote says that an object was written to once for each of so many changes. The
// object may be seen before the answer to who wrote it.
func (w *world) wrote(name string, changes int) {
	w.Helper()
	for deadline := time.Now().Add(patience); w.count(name) < changes && time.Now().Before(deadline); {
		<-time.After(20 * time.Millisecond)
	}
	if n := w.count(name); n != changes {
		w.Errorf("%d writes for %d changes: %v of %v", n, changes, w.writes, w.tries)
	}
}

// TestConflictComesAndGoes is the life of a condition, with two replicas at once
// that are both sure to lead, under the rights that the chart gives.
func TestConflictComesAndGoes(t *testing.T) {
	w := start(t)
	w.namespace("shop")
	w.put(virtualServices, "shop", "a-first", routes("reviews"))
	stop := w.replica()
	w.replica()
	w.put(virtualServices, "shop", "b-second", routes("reviews"))
	u := w.until(virtualServices, "shop", "b-second", "False Conflict @1")
	if m := message(u); !strings.Contains(m, "spec.hosts: VirtualService shop/a-first") || !strings.Contains(m, "merge the two") {
		t.Errorf("the message names no field, no other object or no mend: %q", m)
	}

	// What others say stays.
	if _, err := w.api(virtualServices, "shop").Patch(t.Context(), "b-second", types.JSONPatchType,
		[]byte(`[{"op":"add","path":"/status/conditions/0","value":{"type":"Theirs","status":"True"}}]`), metav1.PatchOptions{FieldManager: "theirs"}, "status"); err != nil {
		t.Fatal(err)
	}
	w.put(virtualServices, "shop", "b-second", routes("reviews", `"timeout":"5s",`))
	before := w.until(virtualServices, "shop", "b-second", "Theirs, False Conflict @2")
	w.wrote("b-second", 2)

	// Nothing is written where nothing changed, not by a new leader and not after
	// a resync: the third object's condition, and its end, come after both.
	stop()
	w.replica()
	w.put(virtualServices, "shop", "c-third", routes("reviews"))
	w.until(virtualServices, "shop", "c-third", "False Conflict @1")
	if err := w.api(virtualServices, "shop").Delete(t.Context(), "c-third", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.put(virtualServices, "shop", "d-fourth", routes("ratings"))
	w.put(virtualServices, "shop", "e-fifth", routes("ratings"))
	w.until(virtualServices, "shop", "e-fifth", "False Conflict @1")
	if now := w.until(virtualServices, "shop", "b-second", "Theirs, False Conflict @2"); now.GetResourceVersion() != before.GetResourceVersion() {
		t.Errorf("it was written again: %v", w.writes)
	}

	// Mended by its own change.
	w.put(virtualServices, "shop", "b-second", routes("details"))
	w.until(virtualServices, "shop", "b-second", "Theirs, True Reconciled @3")
	w.put(virtualServices, "shop", "b-second", routes("details", `"timeout":"6s",`))
	w.until(virtualServices, "shop", "b-second", "Theirs, True Reconciled @4")
	// Mended by another object's end.
	if err := w.api(virtualServices, "shop").Delete(t.Context(), "d-fourth", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until(virtualServices, "shop", "e-fifth", "True Reconciled @1")
	// What was never wrong was never written to.
	w.until(virtualServices, "shop", "a-first", "")
	if n := w.count("a-first"); n != 0 {
		t.Errorf("an object that was always fine was written to %d times", n)
	}
	w.wrote("b-second", 4)
}

// TestObjectsThatTakeNoCondition are left alone, and tried rarely.
func TestObjectsThatTakeNoCondition(t *testing.T) {
	w := start(t)
	w.resync = time.Hour // it tries once more
	w.namespace("bare")
	w.put(sidecars, "bare", "no-status", `{"egress":[{"hosts":["./*"],"captureMode":"NONE"}]}`)
	w.extra = []model.Problem{
		{Kind: "Sidecar", Namespace: "bare", Name: "no-status", Field: "spec", Reason: "Invalid", Message: "m"},
		{Kind: "Sidecar", Namespace: "bare", Name: "not-there", Field: "spec", Reason: "Invalid", Message: "m"},
		{Kind: "VirtualService", Namespace: "bare", Name: "z", Field: "spec", Reason: model.RejectedByProxy, Message: "m"},
	}
	w.put(virtualServices, "bare", "z", routes("ratings"))
	w.replica()
	// It comes after the others, and its own problem comes and goes with the proxies'.
	w.until(virtualServices, "bare", "z", "False RejectedByProxy @1")
	w.mu.Lock()
	w.extra = w.extra[:2]
	tries := slices.Clone(w.tries)
	w.mu.Unlock()
	w.until(virtualServices, "bare", "z", "True Reconciled @1")
	if n := len(slices.DeleteFunc(tries, func(x string) bool { return !strings.Contains(x, "no-status") })); n != 1 {
		t.Errorf("the object without a status was tried %d times: %v", n, tries)
	}
	w.until(sidecars, "bare", "no-status", "")
}
