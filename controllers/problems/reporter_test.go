// SPDX-License-Identifier: Apache-2.0

package problems_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/isthmesh/isthmesh/controllers/problems"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// replicas are a leader that reads, and others that report, in one namespace.
type replicas struct {
	*testing.T
	kube      kubernetes.Interface
	namespace string
	others    *problems.Others

	mu   sync.Mutex
	says map[string]string // by replica, what it says of an object
}

// run something until the test ends, or until it is stopped.
func (r *replicas) run(what func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	var one sync.WaitGroup
	one.Go(func() { _ = what(ctx) })
	stop = sync.OnceFunc(func() { cancel(); one.Wait() })
	r.Cleanup(stop)
	return stop
}

func (r *replicas) reporter(name string) (stop func()) {
	r.Helper()
	return r.run((&problems.Reporter{
		Client: r.kube, Namespace: r.namespace, Replica: name, Pause: 20 * time.Millisecond, Renew: 300 * time.Millisecond,
		Rejected: func() ([]problems.Said, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			message, known := r.says[name]
			if message == "" {
				return nil, known
			}
			p := model.Problem{Kind: "VirtualService", Namespace: "shop", Name: "of-" + name, Field: "spec", Reason: model.RejectedByProxy, Message: message}
			return []problems.Said{{Problem: p, Seen: problems.Seen{UID: "u", Generation: 1}}}, true
		},
	}).Run)
}

func (r *replicas) say(replica, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.says[replica] = message
}

// heard waits until the leader has heard just this.
func (r *replicas) heard(want string) {
	r.Helper()
	deadline := time.Now().Add(patience)
	for {
		var got []string
		for _, s := range r.others.Said() {
			got = append(got, s.Problem.Name+" "+s.Problem.Message)
		}
		if strings.Join(got, ", ") == want {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("heard is %q, want %q", got, want)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// left waits until just these replicas have maps.
func (r *replicas) left(want string) {
	r.Helper()
	deadline := time.Now().Add(patience)
	for r.maps() != want {
		if time.Now().After(deadline) {
			r.Fatalf("left are %q, want %q", r.maps(), want)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// maps that are there.
func (r *replicas) maps() string {
	r.Helper()
	list, err := r.kube.CoreV1().ConfigMaps(r.namespace).List(r.Context(), metav1.ListOptions{LabelSelector: "isthmesh.dev/rejections"})
	if err != nil {
		r.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range list.Items {
		names[strings.TrimPrefix(m.Name, "isthmesh-rejections-")] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " ")
}

// TestReplicas: the leader hears of what others say as long as they say so, and of
// those that are gone nothing is left, however they went.
func TestReplicas(t *testing.T) {
	r := &replicas{T: t, kube: kubernetes.NewForConfigOrDie(server.Config), namespace: "reports", says: map[string]string{}}
	if _, err := r.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	own := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if _, err := r.kube.CoreV1().Pods(r.namespace).Create(t.Context(), own, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	news := make(chan struct{}, 1)
	// What counts for long is not renewed in vain while machines are busy.
	r.others = &problems.Others{Client: r.kube, Namespace: r.namespace, Replica: "a", Lapse: 6 * time.Second, News: func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}}
	r.run(r.others.Run)
	r.reporter("a")
	stopB := r.reporter("b")
	r.reporter("c")

	r.say("a", "own")
	r.say("b", "first")
	r.heard("of-b first")
	<-news
	r.say("b", "second")
	r.say("c", "too")
	r.heard("of-b second, of-c too")
	pod, err := r.kube.CoreV1().Pods(r.namespace).Get(t.Context(), "b", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.kube.CoreV1().ConfigMaps(r.namespace).Get(t.Context(), "isthmesh-rejections-b", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.OwnerReferences) != 1 || m.OwnerReferences[0].UID != pod.UID {
		t.Errorf("it doesn't go with its pod: %v", m.OwnerReferences)
	}
	// Nothing is wrong any more: nothing is left.
	r.say("c", "")
	r.heard("of-b second")
	stopB()
	r.heard("")
	r.left("a")

	// One that is gone without a word, and isn't renewed.
	r.say("c", "still here")
	r.heard("of-c still here")
	dead := fmt.Sprintf(`[{"problem": {"Kind": "VirtualService", "Namespace": "shop", "Name": "of-d", "Reason": %q, "Message": "last words"}, "seen": {}}]`, model.RejectedByProxy)
	if _, err := r.kube.CoreV1().ConfigMaps(r.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "isthmesh-rejections-d", Labels: map[string]string{"isthmesh.dev/rejections": "true"}},
		Data:       map[string]string{"rejections": dead},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.heard("of-c still here, of-d last words")
	r.heard("of-c still here")
	r.left("a c")
}

// TestReportersMay do all that with the rights that the chart gives.
func TestReportersMay(t *testing.T) {
	w := start(t)
	kube := kubernetes.NewForConfigOrDie(server.Config)
	w.role(kube, "istio-system")
	limited := kubernetes.NewForConfigOrDie(w.limited)
	r := &replicas{T: t, kube: limited, namespace: "istio-system", says: map[string]string{"x": "m"}}
	r.others = &problems.Others{Client: limited, Namespace: "istio-system", Replica: "y", News: func() {}}
	r.run(r.others.Run)
	stop := r.reporter("x")
	r.heard("of-x m")
	stop()
	r.heard("")
}

// TestCancelledReport: a write that ended with the replica may have come through all the same,
// so what it wrote is removed.
func TestCancelledReport(t *testing.T) {
	kube := fake.NewClientset()
	ctx, cancel := context.WithCancel(t.Context())
	written := false
	var removed []bool // each time, whether it was written before
	kube.PrependReactor("*", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
		switch a.GetVerb() {
		case "patch":
			written = true
			cancel()
			return true, nil, context.Canceled
		case "delete":
			removed = append(removed, written)
		}
		return true, nil, nil
	})
	asked := 0
	_ = (&problems.Reporter{
		Client: kube, Namespace: "istio-system", Replica: "a", Pause: time.Millisecond,
		Rejected: func() ([]problems.Said, bool) {
			if asked++; asked == 1 { // so that nothing is there, which is known then
				return nil, true
			}
			return []problems.Said{{Problem: model.Problem{Kind: "VirtualService", Name: "x"}}}, true
		},
	}).Run(ctx)
	if !slices.Equal(removed, []bool{false, true}) {
		t.Errorf("removed %v", removed)
	}
}
