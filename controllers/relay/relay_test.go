// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/isthmesh/isthmesh/controllers/relay"
)

// Each change asks for all the objects that there are at that moment, of every kind.
func TestRelay(t *testing.T) {
	kube := fake.NewClientBuilder().WithObjects(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bank"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "prices"}},
	).Build()
	changed := make(chan struct{})
	r := relay.New(kube, changed)
	ctx, stop := context.WithCancel(t.Context())
	var queues []workqueue.TypedRateLimitingInterface[reconcile.Request]
	for _, list := range []client.ObjectList{&corev1.NamespaceList{}, &corev1.ConfigMapList{}} {
		q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
		t.Cleanup(q.ShutDown)
		queues = append(queues, q)
		if err := r.Every(list).Start(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error)
	go func() { ended <- r.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})

	asked := func(q workqueue.TypedRateLimitingInterface[reconcile.Request], n int) []string {
		var names []string
		for range n { // Get waits
			item, _ := q.Get()
			names = append(names, item.String())
			q.Done(item)
		}
		slices.Sort(names)
		return names
	}
	changed <- struct{}{}
	if diff := cmp.Diff([]string{"/bank", "/shop"}, asked(queues[0], 2)); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shop/prices"}, asked(queues[1], 1)); diff != "" {
		t.Errorf("ConfigMaps (-want +got):\n%s", diff)
	}
	if err := kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new"}}); err != nil {
		t.Fatal(err)
	}
	changed <- struct{}{}
	if diff := cmp.Diff([]string{"/bank", "/new", "/shop"}, asked(queues[0], 3)); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}
