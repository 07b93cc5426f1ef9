// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(m, &server) }

func newClient(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(server.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mesh renders all that a member gets into a namespace.
func mesh(t *testing.T, namespace string, replicas int64) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, r := range []struct {
		chart, release string
		values         map[string]any
	}{
		{Base, "istio-base", map[string]any{"base": map[string]any{"validation": false}}},
		{Istiod, "istiod", nil},
		{Gateway, "istio-eastwestgateway", map[string]any{"networkGateway": "west", "replicaCount": replicas}},
	} {
		objects, err := Render(r.chart, r.values, r.release, namespace, "v1.36.3")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, objects...)
	}
	order(out)
	return out
}

// versions maps each object of a set to its resource version in the cluster.
func versions(t *testing.T, c client.Client, items []Item) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, item := range items {
		o := item.metadata()
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatalf("%s: %v", item, err)
		}
		out[item.String()] = o.ResourceVersion
	}
	return out
}

// settled waits until the API server has said all that it says of new definitions
// by itself: that also gives them other resource versions.
func settled(t *testing.T, c client.Client, items []Item) {
	t.Helper()
	for _, item := range items {
		if !item.isDefinition() {
			continue
		}
		want := []string{"Established", "NamesAccepted"}
		if strings.HasSuffix(item.Name, ".k8s.io") {
			want = append(want, "KubernetesAPIApprovalPolicyConformant")
		}
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(item.gvk())
		err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			if err := c.Get(ctx, client.ObjectKey{Name: item.Name}, o); err != nil {
				return false, err
			}
			conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
			has := map[any]bool{}
			for _, c := range conditions {
				if c, ok := c.(map[string]any); ok && c["status"] == "True" {
					has[c["type"]] = true
				}
			}
			return !slices.ContainsFunc(want, func(s string) bool { return !has[s] }), err
		})
		if err != nil {
			t.Fatalf("%s: %v: %v", item, err, o.Object["status"])
		}
	}
}

func TestApplyPruneDelete(t *testing.T) {
	ctx, c := t.Context(), newClient(t)
	set := Set{
		Owner: "hub-1/default/west", Label: "default.west", Namespace: "mesh-one",
		NamespaceLabels: map[string]string{"topology.istio.io/network": "west"},
		Objects:         mesh(t, "mesh-one", 2),
	}
	first, err := Apply(ctx, c, set)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(set.Objects) + 1; len(first.Changed) != want {
		t.Errorf("first Apply changed %d objects, want %d: %v", len(first.Changed), want, first.Changed)
	}

	settled(t, c, first.Inventory.Items)
	before := versions(t, c, first.Inventory.Items)
	second, err := Apply(ctx, c, set)
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Changed)+len(second.Pruned) > 0 {
		t.Errorf("second Apply changed %v and pruned %v, want nothing", second.Changed, second.Pruned)
	}
	if diff := cmp.Diff(before, versions(t, c, second.Inventory.Items)); diff != "" {
		t.Errorf("second Apply wrote (-before +after):\n%s", diff)
	}

	// Drift is mended.
	service := &unstructured.Unstructured{}
	service.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Service"})
	if err := c.Get(ctx, client.ObjectKey{Namespace: "mesh-one", Name: "istiod"}, service); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(service.Object, "nobody", "spec", "selector", "app"); err != nil {
		t.Fatal(err)
	}
	if err := c.Update(ctx, service); err != nil {
		t.Fatal(err)
	}
	third, err := Apply(ctx, c, set)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Service mesh-one/istiod"}, third.Changed); diff != "" {
		t.Errorf("Apply after drift (-want +got):\n%s", diff)
	}

	// With one replica the gateway has no disruption budget any more.
	set.Objects = mesh(t, "mesh-one", 1)
	fourth, err := Apply(ctx, c, set)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"PodDisruptionBudget mesh-one/istio-eastwestgateway"}, fourth.Pruned); diff != "" {
		t.Errorf("pruned (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Deployment mesh-one/istio-eastwestgateway"}, fourth.Changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}

	// Another owner stays out.
	other := set
	other.Owner = "hub-2/default/west"
	var owned *OwnedError
	if _, err := Apply(ctx, c, other); !errors.As(err, &owned) {
		t.Errorf("Apply by another owner: %v, want an OwnedError", err)
	}
	if _, err := Delete(ctx, c, "mesh-one", DeleteOptions{Owner: other.Owner}); !errors.As(err, &owned) {
		t.Errorf("Delete by another owner: %v, want an OwnedError", err)
	}

	left := deleteAll(t, c, "mesh-one", DeleteOptions{Owner: set.Owner})
	if len(left.Kept) != 28 || !slices.Contains(left.Kept, "CustomResourceDefinition serviceexports.multicluster.x-k8s.io") {
		t.Errorf("kept %v, want the 28 definitions", left.Kept)
	}
	var role metav1.PartialObjectMetadata
	role.SetGroupVersionKind(schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"})
	if err := c.Get(ctx, client.ObjectKey{Name: "istiod-clusterrole-mesh-one"}, &role); !apierrors.IsNotFound(err) {
		t.Errorf("ClusterRole after Delete: %v, want it gone", err)
	}
	if diff := cmp.Diff([]string{"Namespace mesh-one"}, left.Going); diff != "" {
		t.Errorf("still going (-want +got); namespaces end only where a namespace controller runs:\n%s", diff)
	}
}

// TestApplyTakesOver: who goes on with what another owner installed leaves the
// rest of it alone, also when it deletes its own.
func TestApplyTakesOver(t *testing.T) {
	ctx, c := t.Context(), newClient(t)
	ingress, err := Render(Gateway, map[string]any{"networkGateway": "x"}, "istio-ingressgateway", "mesh-three", version)
	if err != nil {
		t.Fatal(err)
	}
	first := Set{Owner: "isthmesh-cli-mesh", Label: "cli", Namespace: "mesh-three", Objects: append(mesh(t, "mesh-three", 1), ingress...)}
	if _, err := Apply(ctx, c, first); err != nil {
		t.Fatal(err)
	}
	second := Set{
		Owner: "hub-1/default/west", Label: "default.west", Namespace: "mesh-three", Objects: mesh(t, "mesh-three", 1),
		TakesOver: func(owner string) bool { return owner == first.Owner },
	}
	result, err := Apply(ctx, c, second)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Pruned) > 0 || result.Inventory.Owner != second.Owner {
		t.Errorf("pruned %v, owner %q", result.Pruned, result.Inventory.Owner)
	}
	left := deleteAll(t, c, "mesh-three", DeleteOptions{Owner: second.Owner, Definitions: true})
	want := Left{Kept: []string{
		"Deployment mesh-three/istio-ingressgateway", "Namespace mesh-three", "Service mesh-three/istio-ingressgateway", "ServiceAccount mesh-three/istio-ingressgateway",
	}}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// deleteAll plays the garbage collector, which this API server has none of, and
// deletes until only the namespace is left.
func deleteAll(t *testing.T, c client.Client, namespace string, opts DeleteOptions) Left {
	t.Helper()
	for range 100 {
		inventory, err := ReadInventory(t.Context(), c, namespace)
		if err != nil {
			t.Fatal(err)
		}
		left, err := Delete(t.Context(), c, namespace, opts)
		if err != nil {
			t.Fatal(err)
		}
		if inventory == nil || len(left.Going) == 0 || slices.Equal(left.Going, []string{"Namespace " + namespace}) {
			return left
		}
		for _, item := range inventory.Items {
			if item.Namespace == "" && item.isNamespace() {
				continue
			}
			o := item.metadata()
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil || o.DeletionTimestamp == nil {
				continue
			}
			if err := c.Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))); err != nil && !apierrors.IsNotFound(err) {
				t.Fatal(err)
			}
		}
	}
	left, err := Delete(t.Context(), c, namespace, opts)
	t.Fatalf("Delete never ends: %v, %v", left, err)
	return left
}

func TestApplyConflict(t *testing.T) {
	ctx, c := t.Context(), newClient(t)
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mesh-two"}},
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "mesh-two", Name: "istiod"},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 15012}}},
		},
	} {
		if err := c.Create(ctx, o, client.FieldOwner("istioctl")); err != nil {
			t.Fatal(err)
		}
	}
	set := Set{Owner: "hub-1/default/west", Label: "default.west", Namespace: "mesh-two", Objects: mesh(t, "mesh-two", 2)}
	_, err := Apply(ctx, c, set)
	var conflict *ConflictError
	if !errors.As(err, &conflict) {
		t.Fatalf("Apply: %v, want a ConflictError", err)
	}
	want := "the cluster has Service mesh-two/istiod already, made by istioctl: remove what they belong to, such as another mesh, and it is installed then"
	if conflict.Error() != want {
		t.Errorf("got  %s\nwant %s", conflict, want)
	}
	var account corev1.ServiceAccount
	if err := c.Get(ctx, client.ObjectKey{Namespace: "mesh-two", Name: "istiod"}, &account); !apierrors.IsNotFound(err) {
		t.Errorf("ServiceAccount after a conflict: %v, want nothing written", err)
	}

	// What a `helm install` of these charts made is taken over; the namespace was there before and stays.
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "mesh-two", Name: "istiod"}}
	if err := c.Patch(ctx, service, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"app.kubernetes.io/part-of":"isthmesh"}}}`))); err != nil {
		t.Fatal(err)
	}
	if _, err := Apply(ctx, c, set); err != nil {
		t.Fatal(err)
	}
	left := deleteAll(t, c, "mesh-two", DeleteOptions{Owner: set.Owner, Definitions: true})
	if diff := cmp.Diff(Left{Kept: []string{"Namespace mesh-two"}}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if inventory, err := ReadInventory(ctx, c, "mesh-two"); err != nil || inventory != nil {
		t.Errorf("inventory after Delete: %v, %v, want none", inventory, err)
	}
}
