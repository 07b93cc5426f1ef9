// SPDX-License-Identifier: Apache-2.0

package informers_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
)

func TestObjectsHoldsWhatIsInTheCluster(t *testing.T) {
	c := newCluster(t,
		&corev1.Service{ObjectMeta: meta("shop", "reviews")},
		&corev1.Service{ObjectMeta: meta("shop", "cart")},
		&corev1.Service{ObjectMeta: meta("bank", "teller")},
		&discoveryv1.EndpointSlice{ObjectMeta: meta("shop", "reviews-1")},
		&corev1.Pod{ObjectMeta: meta("shop", "reviews-a")},
		&corev1.Node{ObjectMeta: meta("", "n1")},
		&corev1.Namespace{ObjectMeta: meta("", "shop")},
		&corev1.ConfigMap{ObjectMeta: meta("istio-system", "istio"), Data: map[string]string{"mesh": "enableAutoMtls: true"}},
	)
	s := c.start(t)
	in := s.Objects()
	want := []string{"bank/teller", "shop/cart", "shop/reviews"}
	if diff := cmp.Diff(want, names(in.Services)); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	for what, n := range map[string]int{
		"slices": len(in.EndpointSlices), "pods": len(in.Pods), "nodes": len(in.Nodes), "namespaces": len(in.Namespaces),
	} {
		if n != 1 {
			t.Errorf("%d %s, want 1", n, what)
		}
	}
	if in.MeshConfig != "enableAutoMtls: true" {
		t.Errorf("MeshConfig is %q", in.MeshConfig)
	}
}

func TestOneChangeMovesOneObject(t *testing.T) {
	c := newCluster(t,
		&corev1.Service{ObjectMeta: meta("shop", "cart")}, &corev1.Service{ObjectMeta: meta("shop", "reviews")},
		&corev1.Pod{ObjectMeta: meta("shop", "reviews-a")})
	s := c.start(t)
	before := s.Objects()
	changed := &corev1.Service{ObjectMeta: meta("shop", "reviews"), Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1"}}
	if _, err := c.kubernetes.CoreV1().Services("shop").Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	after := await(t, s, func(in ingest.Input) bool { return in.Services[1].Spec.ClusterIP == "10.96.0.1" })
	if before.Services[0] != after.Services[0] {
		t.Error("a service that did not change is another pointer")
	}
	if before.Services[1] == after.Services[1] || before.Services[1].Spec.ClusterIP != "" {
		t.Error("the old object was modified")
	}
	if &before.Pods[0] != &after.Pods[0] {
		t.Error("a kind that did not change is another slice")
	}
}

func TestWhatTheMeshDoesNotReadIsNoChange(t *testing.T) {
	node := &corev1.Node{ObjectMeta: meta("", "n1")}
	node.Labels = map[string]string{corev1.LabelTopologyZone: "z1", "rack": "7"}
	c := newCluster(t, node)
	s := c.start(t)
	before := s.Objects()
	beat := node.DeepCopy()
	beat.ResourceVersion = "2"
	beat.Labels["rack"] = "8"
	beat.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, LastHeartbeatTime: metav1.Unix(9, 0)}}
	c.updateNode(t, beat)
	// What comes after is seen only once the heartbeat was.
	c.updateNode(t, &corev1.Node{ObjectMeta: meta("", "n2")})
	after := await(t, s, func(in ingest.Input) bool { return len(in.Nodes) == 2 })
	if before.Nodes[0] != after.Nodes[0] {
		t.Error("a heartbeat gave another pointer")
	}
	if diff := cmp.Diff(map[string]string{corev1.LabelTopologyZone: "z1"}, after.Nodes[0].Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

func TestDeletionEmptiesTheKind(t *testing.T) {
	c := newCluster(t, &corev1.Pod{ObjectMeta: meta("shop", "a")})
	s := c.start(t)
	if err := c.kubernetes.CoreV1().Pods("shop").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, s, func(in ingest.Input) bool { return len(in.Pods) == 0 })
}

func TestChangesCoalesce(t *testing.T) {
	c := newCluster(t)
	s := c.start(t)
	for i := range 50 {
		name := "svc-" + strings.Repeat("x", i+1)
		if _, err := c.kubernetes.CoreV1().Services("shop").Create(t.Context(), &corev1.Service{ObjectMeta: meta("shop", name)}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, s, func(in ingest.Input) bool { return len(in.Services) == 50 })
	if n := len(s.Changes()); n > 1 {
		t.Errorf("%d changes wait, want at most 1", n)
	}
}

func TestKindThatComesLaterIsPickedUp(t *testing.T) {
	c := newCluster(t)
	s := c.start(t)
	want := optionalKinds()
	if diff := cmp.Diff(want, s.Missing()); diff != "" {
		t.Fatalf("missing (-want +got):\n%s", diff)
	}
	export := &mcs.ServiceExport{ObjectMeta: meta("shop", "reviews")}
	if _, err := c.mcs.MulticlusterV1beta1().ServiceExports("shop").Create(t.Context(), export, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.install(t, "serviceexports.multicluster.x-k8s.io")
	in := await(t, s, func(in ingest.Input) bool { return len(in.ServiceExports) == 1 })
	if diff := cmp.Diff([]string{"shop/reviews"}, names(in.ServiceExports)); diff != "" {
		t.Errorf("exports (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.DeleteFunc(want, func(name string) bool { return name == "serviceexports.multicluster.x-k8s.io" }), s.Missing()); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestKindInAnotherVersionDoesNotBlock(t *testing.T) {
	c := newCluster(t)
	c.install(t, "peerauthentications.security.istio.io")
	c.istio.PrependReactor("list", "peerauthentications", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "peerauthentications"}, "")
	})
	s := c.start(t)
	if !slices.Contains(s.Missing(), "peerauthentications.security.istio.io") {
		t.Errorf("missing is %v", s.Missing())
	}
}

func TestWaitSyncedNamesWhatIsNotRead(t *testing.T) {
	c := newCluster(t)
	c.kubernetes.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no rights"))
	})
	s := c.run(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := s.WaitSynced(ctx)
	if err == nil || !strings.Contains(err.Error(), "pods are not read") {
		t.Errorf("error is %v, want one that names pods", err)
	}
}
